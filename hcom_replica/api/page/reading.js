// The text: a list of which only the rows in sight exist, the event that was chosen, and the report.

const ROW_HEIGHT = 40;

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

class List {
  constructor(model, chosen) {
    this.model = model;
    this.chosen = chosen;
    this.selected = -1;
    this.box = document.getElementById("list");
    this.rows = document.getElementById("rows");
    this.box.addEventListener("scroll", () => this.draw(), { passive: true });
    this.box.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) this.chosen.event(Number(row.dataset.index));
    });
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  refresh() {
    this.rows.style.height = `${this.model.shown.length * ROW_HEIGHT}px`;
    this.draw();
  }

  draw() {
    const top = this.box.scrollTop, { shown } = this.model;
    const from = Math.max(0, Math.floor(top / ROW_HEIGHT) - 4);
    const to = Math.min(shown.length, Math.ceil((top + this.box.clientHeight) / ROW_HEIGHT) + 4);
    const made = [];
    for (let place = from; place < to; place++) made.push(this.row(shown[place], place));
    this.rows.replaceChildren(...made);
  }

  row(index, place) {
    const { model } = this, row = element("div", undefined, index === this.selected ? "row chosen" : "row");
    row.style.top = `${place * ROW_HEIGHT}px`;
    row.dataset.index = index;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(index === this.selected));
    const who = element("div", undefined, "who");
    who.append(element("b", model.nameOf(index)), `  ${model.kindOf(index)}  ${utc(model.data.time[index])}`);
    if (model.late.has(index)) who.append(element("span", "  late", "late"));
    row.append(who, element("div", model.data.summary[index]));
    return row;
  }

  reveal(index) {
    const place = this.model.placeInList[index], top = this.box.scrollTop, room = this.box.clientHeight - ROW_HEIGHT;
    if (place >= 0 && (place * ROW_HEIGHT < top || place * ROW_HEIGHT > top + room)) {
      this.box.scrollTop = place * ROW_HEIGHT - room / 2;
    }
    this.draw();
  }
}

function lateText(model, index) {
  const ms = model.late.get(index);
  return ms === null ? "late" : `late by ${span(ms)}`;
}

class Reading {
  constructor(model) {
    this.model = model;
    this.side = document.getElementById("side");
    this.event = document.getElementById("event");
    this.report = document.getElementById("report");
    this.fillReport(model.data.report);
  }

  show(index) {
    const { model } = this, facts = document.getElementById("facts");
    document.getElementById("event-title").textContent = `${model.nameOf(index)}  ${model.kindOf(index)}`;
    const rows = [["time", `${utc(model.data.time[index])} UTC`], ["log time", `${utc(model.data.log[index])} UTC`], ["id", model.idOf(index)]];
    if (model.late.has(index)) rows.push(["arrived", lateText(model, index)]);
    facts.replaceChildren(...rows.flatMap(([label, value]) => [element("dt", label), element("dd", value)]));
    document.getElementById("body").textContent = bodyText(model.data.body[index]);
    this.report.hidden = true;
    this.event.hidden = false;
    this.event.scrollTop = 0;
    this.side.classList.add("reading");
  }

  close() {
    this.event.hidden = this.report.hidden = true;
    this.side.classList.remove("reading");
  }

  openReport() {
    this.event.hidden = true;
    this.report.hidden = false;
    this.side.classList.add("reading");
  }

  fillReport(report) {
    if (!report) return;
    const box = document.getElementById("report-body");
    box.append(element("p", report.verdict, report.sound ? "" : "bad"));
    for (const { title, headers, rows } of report.tables) {
      const table = element("table"), head = element("tr");
      head.append(...headers.map((text) => element("th", text)));
      table.append(head, ...rows.map((cells) => {
        const row = element("tr");
        row.append(...cells.map((text) => element("td", text ?? "-")));
        return row;
      }));
      box.append(element("h2", title), table);
    }
    document.getElementById("report-button").hidden = false;
    this.openReport();
  }
}

/** A message's text as it was written, then the whole body. */
function bodyText(body) {
  if (body === null) return "(redacted)";
  try {
    const value = JSON.parse(body);
    const text = value && typeof value === "object" && typeof value.text === "string" ? `${value.text}\n\n` : "";
    return text + JSON.stringify(value, null, 2);
  } catch {
    return body;
  }
}
