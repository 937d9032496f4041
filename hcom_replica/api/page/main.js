// Everything together: filters, keys, and what happens when an event or a lane is chosen.

function start(data) {
  const model = new Model(data), byId = (name) => document.getElementById(name);
  const chosen = { event: choose, lane: only };
  const timeline = new Timeline(model, chosen), list = new List(model, chosen), reading = new Reading(model);
  let selected = -1;

  byId("title").textContent = data.title;
  byId("about").textContent = data.about;

  function choose(index) {
    timeline.selected = list.selected = selected = index;
    reading.show(index);
    timeline.reveal(index);
    list.reveal(index);
  }

  function step(by) {
    const place = model.placeInList[selected] + (selected < 0 && by > 0 ? 0 : by);
    const next = model.shown[selected < 0 ? 0 : place];
    if (next !== undefined) choose(next);
  }

  function close() {
    reading.close();
    timeline.selected = list.selected = selected = -1;
    timeline.redraw();
    list.draw();
  }

  function only(lane) {
    model.onlyLane = model.onlyLane === lane ? -1 : lane;
    refresh();
  }

  function refresh() {
    model.filter();
    timeline.layout();
    list.refresh();
    const all = model.shown.length === model.count;
    byId("count").textContent = `${model.shown.length.toLocaleString("en")}${all ? "" : ` of ${model.count.toLocaleString("en")}`} events`;
    chips();
  }

  function chips() {
    const made = [], chip = (text, off, press, colour) => {
      const button = element("button");
      if (colour) {
        const box = element("i");
        box.style.background = colour;
        button.append(box);
      }
      button.append(text);
      button.className = off ? "off" : "";
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => { press(); refresh(); });
      made.push(button);
    };
    const toggle = (set, value) => () => { if (!set.delete(value)) set.add(value); };
    data.kinds.forEach((kind, at) => chip(kind, model.kindsOff.has(at), toggle(model.kindsOff, at), timeline.kindColours[at]));
    made.push(element("span", undefined, "sep"));
    data.devices.forEach((device, at) => chip(device, model.devicesOff.has(at), toggle(model.devicesOff, at)));
    if (model.onlyLane >= 0) {
      const name = `${model.laneName(model.onlyLane)}:${data.devices[data.lanes[model.onlyLane][1]]}`;
      chip(`only ${name} ×`, false, () => { model.onlyLane = -1; });
    }
    byId("chips").replaceChildren(...made, ...legend());
  }

  function legend() {
    const shown = [[model.late.size, "late", "arrived late"], [data.absent.length, "absent", "nothing came from the device"]];
    return shown.filter(([there]) => there).map(([, name, text]) => {
      const made = element("span", undefined, `legend ${name}-box`);
      made.append(element("i"), text);
      return made;
    });
  }

  let pause = 0;
  byId("search").addEventListener("input", (event) => {
    clearTimeout(pause);
    pause = setTimeout(() => { model.text = event.target.value; refresh(); list.box.scrollTop = 0; }, 120);
  });
  byId("zoom-in").addEventListener("click", () => timeline.zoom(0.5));
  byId("zoom-out").addEventListener("click", () => timeline.zoom(2));
  byId("fit").addEventListener("click", () => timeline.fit());
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("close").addEventListener("click", close);
  byId("report-close").addEventListener("click", close);
  byId("report-button").addEventListener("click", () => reading.openReport());
  byId("axis").addEventListener("click", () => {
    model.axis = model.axis === "time" ? "log" : "time";
    byId("axis").setAttribute("aria-pressed", String(model.axis === "log"));
    model.sort();
    refresh();
    timeline.fit();
  });
  const keys = {
    "+": () => timeline.zoom(0.5), "=": () => timeline.zoom(0.5), "-": () => timeline.zoom(2), 0: () => timeline.fit(),
    ArrowLeft: () => timeline.pan(-80), ArrowRight: () => timeline.pan(80), j: () => step(1), k: () => step(-1),
    Escape: close, "/": () => byId("search").focus(),
  };
  addEventListener("keydown", (event) => {
    if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = keys[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });
  refresh();
  // For scripts that drive this page.
  window.replica = { model, timeline, list, choose, where: (index) => timeline.where(index) };
  document.body.dataset.ready = "yes";
}

unpack().then(start).catch((error) => {
  const failure = document.getElementById("failure");
  failure.textContent = `This page cannot be shown: ${error}. It needs a browser of 2023 or newer.`;
  failure.hidden = false;
});
