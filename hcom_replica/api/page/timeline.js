// The drawing: a window of time over lanes that scroll. What is drawn in a frame depends on the pixels, not on the events.

const AXIS_HEIGHT = 24, LANE_HEIGHT = 18, DEVICE_HEIGHT = 22, MARK_WIDTH = 3, WINDOW_MS_MIN = 20;
const STEPS = [10, 50, 100, 500, 1e3, 5e3, 15e3, 6e4, 3e5, 9e5, 36e5, 108e5, 216e5, 432e5, 864e5, 6048e5];

/** Tick marks of a time axis, at least 90 pixels apart: [ms, label]. */
function ticks(from, to, width) {
  const least = ((to - from) / width) * 90, step = STEPS.find((size) => size >= least);
  const found = [];
  if (step) {
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push([at, tickLabel(at, step)]);
    return found;
  }
  const months = [1, 3, 6, 12, 24, 60, 120, 600, 1200, 12000].find((size) => size * 2629e6 >= least) ?? 120000;
  const start = new Date(from);
  let month = start.getUTCFullYear() * 12 + start.getUTCMonth();
  for (month = Math.ceil(month / months) * months; found.length < 60; month += months) {
    const year = Math.floor(month / 12), at = new Date(Date.UTC(2000, month - year * 12, 1)).setUTCFullYear(year);
    if (at > to || Number.isNaN(at)) break;
    if (at >= from) found.push([at, months % 12 ? `${year}-${pad(month - year * 12 + 1)}` : String(year)]);
  }
  return found;
}

function tickLabel(ms, step) {
  const text = new Date(ms).toISOString();
  if (step >= 864e5 || ms % 864e5 === 0) return text.slice(0, 10);
  if (step >= 6e4) return text.slice(11, 16);
  return step >= 1e3 ? text.slice(11, 19) : text.slice(11, 23);
}

class Timeline {
  constructor(model, chosen) {
    this.model = model;
    this.chosen = chosen;
    this.selected = -1;
    this.lanesBox = document.getElementById("lanes");
    this.canvas = document.getElementById("marks");
    this.overview = document.getElementById("overview");
    this.space = document.getElementById("space");
    this.tip = document.getElementById("tip");
    this.marks = 0;
    this.waiting = false;
    this.readColours();
    this.listen();
    this.fit();
    this.layout();
  }

  readColours() {
    const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue(name).trim();
    this.colours = Object.fromEntries(
      ["ground", "panel", "line", "text", "dim", "accent", "absent", "late"].map((name) => [name, colour(`--${name}`)]));
    this.kindColours = this.model.data.kinds.map((_, kind) => colour(`--k${kindColour(this.model.data.kinds, kind)}`));
  }

  /** Which lane stands where: devices one below the other, lanes without anything to show left out. */
  layout() {
    const { data, lanes } = this.model;
    this.rows = [];
    let y = 0;
    data.devices.forEach((name, device) => {
      const own = data.lanes.map((_, lane) => lane).filter((lane) => data.lanes[lane][1] === device && lanes[lane].length);
      if (!own.length) return;
      this.rows.push({ device, name, y, height: DEVICE_HEIGHT, span: DEVICE_HEIGHT + own.length * LANE_HEIGHT });
      y += DEVICE_HEIGHT;
      for (const lane of own) {
        this.rows.push({ lane, y, height: LANE_HEIGHT });
        y += LANE_HEIGHT;
      }
    });
    this.total = y + AXIS_HEIGHT;
    this.resize();
  }

  resize() {
    const ratio = devicePixelRatio || 1, box = this.lanesBox;
    this.width = box.clientWidth;
    this.height = box.clientHeight;
    this.gutter = this.width < 500 ? 76 : 124;
    for (const [canvas, height] of [[this.canvas, this.height], [this.overview, 44]]) {
      canvas.width = Math.max(1, Math.round(this.width * ratio));
      canvas.height = Math.max(1, Math.round(height * ratio));
      canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    this.canvas.style.height = `${this.height}px`;
    this.space.style.height = `${Math.max(0, this.total - this.height)}px`;
    this.redraw();
  }

  // --- the window of time ---------------------------------------------------------------------------------

  fit() {
    const { first, last } = this.model, margin = Math.max(500, (last - first) * 0.02);
    this.show(first - margin, last + margin);
  }

  show(from, to) {
    const { first, last } = this.model, whole = Math.max(2000, last - first);
    const size = Math.min(Math.max(to - from, WINDOW_MS_MIN), whole * 1.2 + 2000);
    const middle = Math.min(Math.max((from + to) / 2, first - size * 0.45), last + size * 0.45);
    this.from = middle - size / 2;
    this.to = middle + size / 2;
    this.redraw();
  }

  zoom(factor, x = (this.gutter + this.width) / 2) {
    const at = this.timeAt(x);
    this.show(at - (at - this.from) * factor, at + (this.to - at) * factor);
  }

  pan(pixels) {
    const ms = (pixels / (this.width - this.gutter)) * (this.to - this.from);
    this.show(this.from + ms, this.to + ms);
  }

  xOf(time) {
    return this.gutter + ((time - this.from) / (this.to - this.from)) * (this.width - this.gutter);
  }

  timeAt(x) {
    return this.from + ((x - this.gutter) / (this.width - this.gutter)) * (this.to - this.from);
  }

  /** Bring an event into sight. */
  reveal(index) {
    const time = this.model.at(index), size = this.to - this.from;
    if (time < this.from + size * 0.05 || time > this.to - size * 0.05) this.show(time - size / 2, time + size / 2);
    const row = this.rows.find((one) => one.lane === this.model.data.lane[index]);
    if (row) {
      const top = this.lanesBox.scrollTop, room = this.height - AXIS_HEIGHT - LANE_HEIGHT;
      if (row.y < top || row.y > top + room) this.lanesBox.scrollTop = row.y - room / 2;
    }
    this.redraw();
  }

  /** Where an event is drawn, in pixels of the lanes' box; null when it is not in sight. */
  where(index) {
    const row = this.rows.find((one) => one.lane === this.model.data.lane[index]);
    const x = this.xOf(this.model.at(index));
    if (!row || x < this.gutter || x > this.width) return null;
    return { x, y: AXIS_HEIGHT + row.y - this.lanesBox.scrollTop + row.height / 2 };
  }

  /** The event that is drawn at a place, or -1. */
  hit(x, y) {
    const top = y - AXIS_HEIGHT + this.lanesBox.scrollTop;
    if (y < AXIS_HEIGHT || x < this.gutter) return -1;
    const row = this.rows.find((one) => one.lane !== undefined && top >= one.y && top < one.y + one.height);
    if (!row) return -1;
    const lane = this.model.lanes[row.lane], { times } = this.model;
    const at = lowerBound(lane, times, this.timeAt(x));
    const near = [at - 1, at].filter((place) => place >= 0 && place < lane.length)
      .map((place) => [Math.abs(this.xOf(times[lane[place]]) - x), lane[place]]).sort((a, b) => a[0] - b[0]);
    return near.length && near[0][0] <= 8 ? near[0][1] : -1;
  }

  // --- drawing --------------------------------------------------------------------------------------------

  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
      this.drawOverview();
    });
  }

  draw() {
    const pen = this.canvas.getContext("2d"), { colours } = this, top = this.lanesBox.scrollTop;
    pen.fillStyle = colours.ground;
    pen.fillRect(0, 0, this.width, this.height);
    this.marks = 0;
    const inSight = this.rows.filter((row) => row.y + (row.span ?? row.height) > top && row.y < top + this.height);
    pen.save();
    pen.beginPath();
    pen.rect(0, AXIS_HEIGHT, this.width, this.height);
    pen.clip();
    pen.translate(0, AXIS_HEIGHT - top);
    for (const row of inSight) if (row.lane === undefined) this.drawDevice(pen, row);
    for (const row of inSight) if (row.lane !== undefined) this.drawLane(pen, row);
    this.drawSelected(pen);
    for (const row of inSight) this.drawLabel(pen, row);
    pen.restore();
    this.drawAxis(pen);
  }

  drawDevice(pen, row) {
    pen.fillStyle = this.colours.panel;
    pen.fillRect(this.gutter, row.y, this.width, row.height);
    pen.fillStyle = this.colours.absent;
    for (const [device, from, to] of this.model.data.absent) {
      if (device !== row.device || to < this.from || from > this.to) continue;
      const left = Math.max(this.gutter, this.xOf(from));
      pen.fillRect(left, row.y, Math.max(2, this.xOf(to) - left), row.span);
    }
  }

  /** One mark for each few pixels that hold something: taller where they hold more, with a tip where something was late. */
  drawLane(pen, row) {
    const lane = this.model.lanes[row.lane], late = this.model.lateBefore[row.lane], { times, data } = this.model;
    const perPixel = (this.to - this.from) / (this.width - this.gutter);
    let place = lowerBound(lane, times, this.from - MARK_WIDTH * perPixel);
    while (place < lane.length) {
      const index = lane[place], x = this.xOf(times[index]);
      if (x > this.width) break;
      const behind = lowerBound(lane, times, times[index] + MARK_WIDTH * perPixel, place + 1);
      const height = Math.min(14, 8 + Math.log2(behind - place));
      pen.fillStyle = this.kindColours[data.kind[index]];
      pen.fillRect(x - MARK_WIDTH / 2, row.y + (row.height - height) / 2, MARK_WIDTH, height);
      if (late[behind] > late[place]) {
        pen.fillStyle = this.colours.late;
        pen.fillRect(x - MARK_WIDTH / 2 - 1, row.y + 1, MARK_WIDTH + 2, 3);
      }
      this.marks++;
      place = behind;
    }
    pen.fillStyle = this.colours.line;
    pen.fillRect(this.gutter, row.y + row.height - 0.5, this.width, 0.5);
  }

  drawSelected(pen) {
    if (this.selected < 0 || this.model.placeInList[this.selected] < 0) return;
    const row = this.rows.find((one) => one.lane === this.model.data.lane[this.selected]);
    const x = this.xOf(this.model.at(this.selected));
    if (!row || x < this.gutter) return;
    pen.strokeStyle = this.colours.accent;
    pen.lineWidth = 2;
    pen.strokeRect(x - 5, row.y + 1, 10, row.height - 2);
    pen.globalAlpha = 0.35;
    pen.fillStyle = this.colours.accent;
    pen.fillRect(x - 0.5, -1e6, 1, 2e6);
    pen.globalAlpha = 1;
  }

  drawLabel(pen, row) {
    const { colours } = this, isLane = row.lane !== undefined;
    pen.fillStyle = isLane ? colours.ground : colours.panel;
    pen.fillRect(0, row.y, this.gutter, row.height);
    pen.font = isLane ? "12px system-ui, sans-serif" : "600 12px system-ui, sans-serif";
    pen.fillStyle = isLane ? colours.dim : colours.text;
    pen.textBaseline = "middle";
    pen.fillText(isLane ? this.model.laneName(row.lane) : row.name, isLane ? 14 : 6, row.y + row.height / 2,
      this.gutter - 18);
  }

  drawAxis(pen) {
    const { colours } = this;
    pen.fillStyle = colours.panel;
    pen.fillRect(0, 0, this.width, AXIS_HEIGHT);
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    for (const [time, label] of ticks(this.from, this.to, this.width - this.gutter)) {
      const x = this.xOf(time);
      pen.fillStyle = colours.line;
      pen.fillRect(x, 0, 1, this.height);
      pen.fillStyle = colours.dim;
      pen.fillText(label, x + 4, AXIS_HEIGHT / 2);
    }
    pen.fillStyle = colours.panel;
    pen.fillRect(0, 0, this.gutter, AXIS_HEIGHT);
    pen.fillStyle = colours.dim;
    pen.fillText("UTC", 6, AXIS_HEIGHT / 2);
  }

  drawOverview() {
    const pen = this.overview.getContext("2d"), { colours, model } = this, width = this.width, height = 44;
    pen.fillStyle = colours.panel;
    pen.fillRect(0, 0, width, height);
    const bars = new Float64Array(Math.max(1, Math.ceil(width / 2))), whole = model.last - model.first || 1;
    for (const index of model.shown) bars[Math.floor(((model.at(index) - model.first) / whole) * (bars.length - 1))]++;
    const most = Math.log1p(Math.max(1, ...bars));
    pen.fillStyle = colours.dim;
    bars.forEach((count, at) => {
      const tall = (Math.log1p(count) / most) * (height - 8);
      if (count) pen.fillRect(at * 2, height - tall, 1.5, tall);
    });
    const left = ((this.from - model.first) / whole) * width, right = ((this.to - model.first) / whole) * width;
    pen.globalAlpha = 0.2;
    pen.fillStyle = colours.accent;
    pen.fillRect(left, 0, Math.max(3, right - left), height);
    pen.globalAlpha = 1;
    pen.strokeStyle = colours.accent;
    pen.strokeRect(left + 0.5, 0.5, Math.max(3, right - left) - 1, height - 1);
  }
}

const FIXED_KINDS = ["message", "status", "life", "bundle"];

/** hcom's own kinds have a colour each; the others share the rest. */
function kindColour(kinds, kind) {
  const fixed = FIXED_KINDS.indexOf(kinds[kind]);
  const others = kinds.filter((name) => !FIXED_KINDS.includes(name));
  return fixed >= 0 ? fixed : 4 + (others.indexOf(kinds[kind]) % 4);
}
