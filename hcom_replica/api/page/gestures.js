// What fingers, mouse and keys do to the timeline.

Timeline.prototype.listen = function listen() {
  this.fingers = new Map();
  this.dragged = false;
  new ResizeObserver(() => this.resize()).observe(this.lanesBox);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.readColours(); this.redraw(); });
  this.lanesBox.addEventListener("scroll", () => this.redraw(), { passive: true });
  this.lanesBox.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  this.canvas.addEventListener("pointerdown", (event) => this.press(event));
  this.canvas.addEventListener("pointermove", (event) => this.move(event));
  for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, (event) => this.release(event));
  this.canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
  this.canvas.addEventListener("dblclick", (event) => this.zoom(0.4, event.offsetX));
  this.overview.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(event.deltaY > 0 ? 1.25 : 0.8); }, { passive: false });
  this.overview.addEventListener("pointerdown", (event) => { this.overview.setPointerCapture(event.pointerId); this.jump(event); });
  this.overview.addEventListener("pointermove", (event) => { if (event.buttons) this.jump(event); });
};

/** Centre the window where the overview is pressed. */
Timeline.prototype.jump = function jump(event) {
  const { first, last } = this.model, size = this.to - this.from;
  const at = first + (event.offsetX / this.width) * (last - first);
  this.show(at - size / 2, at + size / 2);
};

/** With Ctrl (or a pinch on a touchpad) zoom, sideways or with Shift pan, else scroll the lanes. On the axis always zoom. */
Timeline.prototype.wheel = function wheel(event) {
  const onAxis = event.clientY - this.lanesBox.getBoundingClientRect().top < AXIS_HEIGHT;
  const sideways = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
  if (event.ctrlKey || event.metaKey || onAxis) {
    event.preventDefault();
    this.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.006), event.offsetX);
  } else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) {
    event.preventDefault();
    this.pan(sideways);
  }
};

Timeline.prototype.press = function press(event) {
  this.canvas.setPointerCapture(event.pointerId);
  this.fingers.set(event.pointerId, event.offsetX);
  this.dragged = this.fingers.size > 1;
  this.pressedAt = event.offsetX;
};

Timeline.prototype.move = function move(event) {
  if (!this.fingers.has(event.pointerId)) {
    this.hover(event);
    return;
  }
  const before = [...this.fingers.values()];
  this.fingers.set(event.pointerId, event.offsetX);
  const after = [...this.fingers.values()];
  if (Math.abs(event.offsetX - this.pressedAt) > 4) this.dragged = true;
  if (!this.dragged) return;
  this.canvas.classList.add("dragging");
  this.tip.hidden = true;
  if (after.length === 2) {
    const apart = Math.abs(before[0] - before[1]), now = Math.max(10, Math.abs(after[0] - after[1]));
    this.zoom(Math.max(0.5, Math.min(2, apart / now)), (after[0] + after[1]) / 2);
  }
  this.pan((before.reduce((a, b) => a + b) - after.reduce((a, b) => a + b)) / after.length);
};

Timeline.prototype.release = function release(event) {
  this.fingers.delete(event.pointerId);
  this.canvas.classList.remove("dragging");
  if (this.dragged || event.type === "pointercancel") return;
  if (event.offsetX < this.gutter) {
    const top = event.offsetY - AXIS_HEIGHT + this.lanesBox.scrollTop;
    const row = this.rows.find((one) => one.lane !== undefined && top >= one.y && top < one.y + one.height);
    if (row) this.chosen.lane(row.lane);
    return;
  }
  const index = this.hit(event.offsetX, event.offsetY);
  if (index >= 0) this.chosen.event(index);
};

Timeline.prototype.hover = function hover(event) {
  const index = this.hit(event.offsetX, event.offsetY);
  this.tip.hidden = index < 0;
  if (index < 0) return;
  this.tip.textContent = `${utc(this.model.at(index))}  ${this.model.nameOf(index)}  ${this.model.data.summary[index]}`;
  const box = this.canvas.getBoundingClientRect(), own = this.tip.parentElement.getBoundingClientRect();
  const x = event.clientX - own.left, y = event.clientY - own.top;
  this.tip.style.left = `${Math.max(4, Math.min(x + 12, box.width - this.tip.offsetWidth - 8))}px`;
  this.tip.style.top = `${y + 16 + this.tip.offsetHeight > own.height ? y - this.tip.offsetHeight - 10 : y + 16}px`;
};
