// The history as arrays, and which of it is shown. Events are known by their index: their place in the order of the log.

async function unpack() {
  const text = document.getElementById("data").textContent.trim();
  const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

class Model {
  constructor(data) {
    this.data = data;
    this.count = data.lane.length;
    this.late = new Map(data.late);
    this.axis = "time";
    this.kindsOff = new Set();
    this.devicesOff = new Set();
    this.onlyLane = -1;
    this.text = "";
    this.hay = null;
    this.sort();
    this.filter();
  }

  /** The instant of an event on the chosen axis, ms since 1970. */
  at(index) {
    return this.times[index];
  }

  /** Choose the axis: the time that events show, or that of the log. */
  sort() {
    this.times = Float64Array.from(this.axis === "time" ? this.data.time : this.data.log);
    const lanes = this.data.lanes.map(() => []);
    for (let index = 0; index < this.count; index++) lanes[this.data.lane[index]].push(index);
    this.byLane = lanes.map((found) => Uint32Array.from(found).sort((a, b) => this.times[a] - this.times[b]));
    let first = Infinity, last = -Infinity;
    for (const time of this.times) {
      if (time < first) first = time;
      if (time > last) last = time;
    }
    this.first = this.count ? first : Date.now() - 1000;
    this.last = this.count ? last : Date.now();
  }

  /** Find what passes all filters: in the order of the log, and lane by lane in order of time. */
  filter() {
    const { data } = this, words = this.text.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length && !this.hay) this.hay = Array.from({ length: this.count }, (_, index) => this.hayOf(index));
    const passes = new Uint8Array(this.count), shown = [];
    for (let index = 0; index < this.count; index++) {
      const lane = data.lane[index];
      if (this.kindsOff.has(data.kind[index]) || this.devicesOff.has(data.lanes[lane][1])) continue;
      if (this.onlyLane >= 0 && lane !== this.onlyLane) continue;
      if (words.length && !words.every((word) => this.hay[index].includes(word))) continue;
      passes[index] = 1;
      shown.push(index);
    }
    this.shown = Uint32Array.from(shown);
    this.lanes = this.byLane.map((found) => found.filter((index) => passes[index]));
    this.lateBefore = this.lanes.map((lane) => this.countLate(lane));
    this.placeInList = new Int32Array(this.count).fill(-1);
    this.shown.forEach((index, place) => { this.placeInList[index] = place; });
  }

  /** How many of a lane's events before each place came late. */
  countLate(lane) {
    const counts = new Uint32Array(lane.length + 1);
    if (this.late.size) lane.forEach((index, place) => { counts[place + 1] = counts[place] + (this.late.has(index) ? 1 : 0); });
    return counts;
  }

  hayOf(index) {
    return `${this.nameOf(index)} ${this.kindOf(index)} ${this.data.summary[index]} ${this.data.body[index] ?? ""}`.toLowerCase();
  }

  laneName(lane) {
    const [agent, device] = this.data.lanes[lane];
    return agent === null ? `(${this.data.devices[device]})` : agent;
  }

  nameOf(index) {
    const [agent, device] = this.data.lanes[this.data.lane[index]];
    return `${agent ?? ""}:${this.data.devices[device]}`;
  }

  kindOf(index) {
    return this.data.kinds[this.data.kind[index]];
  }

  idOf(index) {
    return `${this.data.origins[this.data.origin[index]]}:${this.data.seq[index]}`;
  }
}

/** First place in a sorted lane at or behind a time. */
function lowerBound(lane, times, time, low = 0) {
  let high = lane.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[lane[middle]] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

const pad = (number, digits = 2) => String(number).padStart(digits, "0");

function utc(ms) {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return "beyond the calendar";
  return date.toISOString().replace("T", " ").replace("Z", "");
}

function span(ms) {
  const units = [[86400000, "d"], [3600000, "h"], [60000, "min"], [1000, "s"], [1, "ms"]];
  const at = units.findIndex(([size]) => ms >= size);
  if (at < 0) return "0 ms";
  const [size, unit] = units[at], rest = at + 1 < units.length - 1 ? units[at + 1] : null;
  const more = rest ? Math.floor((ms % size) / rest[0]) : 0;
  return `${Math.floor(ms / size)} ${unit}${more ? ` ${more} ${rest[1]}` : ""}`;
}
