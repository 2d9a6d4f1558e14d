// A line to drag, right of which alone a pane is seen: results over a scene, or the later of two dates over the earlier.
"use strict";

const STEP = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -10, PageUp: 10 };

// Give the line: `percent` of the map's width, `isOn`, and `onMove`, called when it was moved.
App.swipeLine = function (paneName, label) {
  const { make, map } = App;
  const handle = make("div", { className: "swipe-line", tabIndex: 0, title: "Drag, or press the arrow keys" });
  for (const [name, value] of Object.entries({ role: "slider", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 }))
    handle.setAttribute(name, value);
  map.getContainer().append(handle);
  const line = { handle, percent: 50, isOn: true, onMove: () => {} };
  const pane = map.getPane(paneName);
  line.apply = () => {
    handle.hidden = !line.isOn;
    if (!line.isOn) return (pane.style.clip = "");
    const size = map.getSize();
    const x = (line.percent / 100) * size.x;
    handle.style.left = `${x}px`;
    handle.setAttribute("aria-valuenow", Math.round(line.percent));
    const from = map.containerPointToLayerPoint([x, 0]);
    const to = map.containerPointToLayerPoint(size);
    pane.style.clip = `rect(${from.y}px, ${to.x}px, ${to.y}px, ${from.x}px)`;
  };
  line.moveTo = (percent) => {
    line.percent = Math.min(100, Math.max(0, percent));
    line.apply();
    line.onMove();
  };
  handle.addEventListener("pointerdown", (event) => {
    handle.setPointerCapture(event.pointerId);
    const move = (moved) => line.moveTo((100 * (moved.clientX - map.getContainer().getBoundingClientRect().left)) / map.getSize().x);
    handle.addEventListener("pointermove", move);
    const stop = () => handle.removeEventListener("pointermove", move);
    for (const end of ["pointerup", "pointercancel"]) handle.addEventListener(end, stop, { once: true });
  });
  handle.addEventListener("keydown", (event) => {
    const to = event.key === "Home" ? 0 : event.key === "End" ? 100 : line.percent + (event.shiftKey ? 10 : 1) * (STEP[event.key] ?? 0);
    if (to === line.percent && !(event.key in STEP)) return;
    event.preventDefault();
    event.stopPropagation(); // the map would move, too
    line.moveTo(to);
  });
  L.DomEvent.disableClickPropagation(handle);
  map.on("move zoom resize", line.apply);
  return line;
};

// The row of the panel with which results are swiped over the scene.
App.swipeRow = function () {
  const { make } = App;
  const box = make("input", { type: "checkbox", id: "swipe" });
  const slider = make("input", { type: "range", min: 0, max: 100, step: 0.5, value: 50, disabled: true });
  slider.setAttribute("aria-label", "Place of the swipe line");
  const line = App.swipeLine("results", "Swipe: the scene alone on the left, results on the right");
  const apply = () => {
    slider.disabled = !box.checked;
    line.isOn = box.checked;
    line.apply();
  };
  line.onMove = () => (slider.value = line.percent);
  box.addEventListener("change", apply);
  slider.addEventListener("input", () => line.moveTo(Number(slider.value)));
  apply();
  return make("div", { className: "row" }, box, make("label", { htmlFor: "swipe", style: "flex: none" }, "Swipe"), slider);
};

// The line between two dates, at first in the middle of them.
App.addDatesLine = function (bounds) {
  const { make, map } = App;
  const [before, after] = App.content.dates;
  const line = App.swipeLine("after", `Swipe: ${before} on the left, ${after} on the right`);
  line.handle.append(make("span", { className: "date is-before" }, before), make("span", { className: "date is-after" }, after));
  line.moveTo((100 * map.latLngToContainerPoint(bounds.getCenter()).x) / map.getSize().x);
  App.datesLine = line;
};
