// Draw mode: choose a class, click polygons, mend and delete them, save GeoJSON that `adapt` and `train` read.
"use strict";

const CLASS_FIELD = "class_name";
const SNAP_PX = 12;

// A ring is a list of points [x, y] of the plane, the first is not repeated.
App.draw = {
  polygons: [], // { name, rings }
  windows: [], // suggestions: { ring, text, isDone, outline }
  ring: [], // what is being drawn
  chosen: 0, // number of the class that is drawn
  selected: null,
  past: [], // of polygons, as JSON
  isChanged: false,
};

App.startDrawing = function () {
  const { draw, map, content } = App;
  draw.classes = content.draw.classes;
  draw.group = L.layerGroup().addTo(map);
  draw.handles = L.layerGroup().addTo(map);
  draw.renderer = L.svg({ pane: "drawing", padding: 0.5 });
  draw.outlines = L.layerGroup().addTo(map);
  map.getContainer().classList.add("is-drawing");
  App.fillDrawing(document.getElementById("drawing"));
  App.takeSuggestions();
  map.on("click", App.drawClick);
  map.on("mousemove", (event) => draw.ring.length && App.showRing(App.toPlane(event.latlng)));
  map.on("zoomend", App.showHandles);
  document.addEventListener("keydown", App.drawKey);
  addEventListener("beforeunload", (event) => draw.isChanged && event.preventDefault());
  App.showAll();
};

App.fillDrawing = function (place) {
  const { draw, make } = App;
  place.append(make("h2", {}, "Draw"));
  draw.buttons = draw.classes.map((one, number) => {
    const swatch = make("span", { className: "swatch" });
    swatch.style.background = one.color;
    const count = make("span", { className: "area" }, "0");
    const button = make("button", { type: "button", className: "class-button" }, swatch, make("span", {}, one.name), count);
    if (number < 9) button.title = `Key ${number + 1}`;
    button.addEventListener("click", () => App.chooseClass(number));
    place.append(button);
    return { button, count };
  });
  const action = (text, title, act) => {
    const button = make("button", { type: "button", title }, text);
    button.addEventListener("click", act);
    return button;
  };
  draw.finishButton = action("Finish", "Close the polygon (Enter, or click its first point)", App.finishRing);
  draw.deleteButton = action("Delete", "Delete the chosen polygon (Delete)", App.deleteSelected);
  draw.undoButton = action("Undo", "Take back the last step (Ctrl+Z)", App.undo);
  place.append(make("div", { className: "buttons" }, draw.finishButton, draw.undoButton, draw.deleteButton));
  const file = make("input", { type: "file", accept: ".geojson,.json", hidden: true, id: "load-file" });
  file.addEventListener("change", () => App.loadFile(file));
  const save = action("Save", "Save the polygons as GeoJSON (Ctrl+S)", App.save);
  save.id = "save";
  place.append(make("div", { className: "buttons" }, save, action("Load…", "Polygons or suggestions", () => file.click()), file));
  draw.list = make("div", { id: "suggestions" });
  draw.help = make("p", {});
  place.append(draw.help, draw.list);
};

App.chooseClass = function (number) {
  const { draw } = App;
  draw.chosen = number;
  if (draw.selected) {
    App.remember();
    draw.selected.name = draw.classes[number].name;
  }
  App.showAll();
};

App.remember = function () {
  App.draw.past.push(JSON.stringify(App.draw.polygons));
  App.draw.past = App.draw.past.slice(-100);
  App.draw.isChanged = true;
};

App.undo = function () {
  const { draw } = App;
  if (draw.ring.length) draw.ring.pop();
  else if (draw.past.length) {
    draw.polygons = JSON.parse(draw.past.pop());
    draw.selected = null;
  }
  App.showAll();
};

App.isNear = (point, latlng) =>
  App.map.latLngToContainerPoint(App.toLatLng(point)).distanceTo(App.map.latLngToContainerPoint(latlng)) < SNAP_PX;

App.drawClick = function ({ latlng }) {
  const { draw } = App;
  const point = App.toPlane(latlng);
  if (!draw.ring.length) {
    const found = App.polygonAt(point);
    if (found || draw.selected) {
      draw.selected = found;
      return App.showAll();
    }
  }
  if (draw.ring.length > 2 && App.isNear(draw.ring[0], latlng)) return App.finishRing();
  const last = draw.ring[draw.ring.length - 1];
  if (last && App.isNear(last, latlng)) return draw.ring.length > 2 ? App.finishRing() : undefined;
  draw.ring.push(point);
  App.showAll();
};

App.polygonAt = function ([x, y]) {
  const isInside = (ring) => {
    let inside = false;
    for (let i = 0, before = ring.length - 1; i < ring.length; before = i++) {
      const [[x1, y1], [x2, y2]] = [ring[before], ring[i]];
      if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
    }
    return inside;
  };
  return App.draw.polygons.findLast((one) => one.rings.filter(isInside).length % 2 === 1) ?? null;
};

App.crossesItself = function (ring) {
  const turn = ([ax, ay], [bx, by], [cx, cy]) => Math.sign((bx - ax) * (cy - ay) - (by - ay) * (cx - ax));
  const count = ring.length;
  for (let i = 0; i < count; i++)
    for (let j = i + 2; j < count; j++) {
      if (i === 0 && j === count - 1) continue;
      const [a, b, c, d] = [ring[i], ring[i + 1], ring[j], ring[(j + 1) % count]];
      if (turn(a, b, c) !== turn(a, b, d) && turn(c, d, a) !== turn(c, d, b)) return true;
    }
  return false;
};

App.finishRing = function () {
  const { draw } = App;
  if (draw.ring.length < 3) return App.say("A polygon has three points or more.");
  if (App.crossesItself(draw.ring)) return App.say("This polygon would cross itself: take points back with Undo.");
  App.remember();
  draw.polygons.push({ name: draw.classes[draw.chosen].name, rings: [draw.ring] });
  draw.ring = [];
  App.showAll();
};

App.deleteSelected = function () {
  const { draw } = App;
  if (!draw.selected) return;
  App.remember();
  draw.polygons.splice(draw.polygons.indexOf(draw.selected), 1);
  draw.selected = null;
  App.showAll();
};

App.drawKey = function (event) {
  const { draw } = App;
  if (event.target instanceof HTMLInputElement && event.target.type !== "checkbox") return;
  const isButton = event.target instanceof HTMLButtonElement || event.target instanceof HTMLInputElement;
  const { key } = event;
  const isCommand = event.ctrlKey || event.metaKey;
  if (isCommand && key === "z") App.undo();
  else if (isCommand && key === "s") App.save();
  else if (isCommand || event.altKey) return;
  else if (key === "Enter" && !isButton) {
    // with the keyboard alone: arrows move the map, a blank sets a point in its middle
    if (draw.ring.length > 2) App.finishRing();
  } else if (key === " " && !isButton) App.drawClick({ latlng: App.map.getCenter() });
  else if (key === "Escape") {
    draw.ring = [];
    draw.selected = null;
    App.showAll();
  } else if (key === "Backspace" && draw.ring.length) App.undo();
  else if ((key === "Delete" || key === "Backspace") && draw.selected) App.deleteSelected();
  else if (/^[1-9]$/.test(key) && draw.classes[key - 1]) App.chooseClass(key - 1);
  else return;
  event.preventDefault();
};

App.colorOf = (name) => App.draw.classes.find((one) => one.name === name)?.color ?? "#555555";

App.showAll = function () {
  const { draw } = App;
  draw.group.clearLayers();
  for (const one of draw.polygons) {
    const isSelected = one === draw.selected;
    const style = { renderer: draw.renderer, interactive: false, color: "#fff", weight: isSelected ? 4 : 2 };
    const latlngs = one.rings.map((ring) => ring.map(App.toLatLng));
    L.polygon(latlngs, { ...style, fillColor: App.colorOf(one.name), fillOpacity: isSelected ? 0.3 : 0.55 }).addTo(draw.group);
    L.polygon(latlngs, { ...style, color: "#000", weight: 1, fill: false }).addTo(draw.group);
  }
  App.showRing(null);
  App.showHandles();
  draw.buttons.forEach(({ button, count }, number) => {
    const { name } = draw.classes[number];
    count.textContent = draw.polygons.filter((one) => one.name === name).length;
    button.setAttribute("aria-pressed", String(draw.selected ? draw.selected.name === name : number === draw.chosen));
  });
  draw.finishButton.disabled = draw.ring.length < 3;
  draw.deleteButton.disabled = !draw.selected;
  draw.undoButton.disabled = !draw.ring.length && !draw.past.length;
  draw.help.textContent = draw.selected
    ? "Drag points; the dark ones between make new ones. Double click removes a point. Choose another class, or delete."
    : draw.ring.length
      ? "Click points; the first one again, Enter or Finish closes the polygon. Esc drops it."
      : "Click on the map to draw a polygon, or a polygon to change it. Keys 1–9 choose the class.";
};

App.showRing = function (pointer) {
  const { draw } = App;
  draw.line?.remove();
  draw.line = null;
  if (!draw.ring.length) return;
  const points = [...draw.ring, ...(pointer ? [pointer] : [])].map(App.toLatLng);
  const style = { renderer: draw.renderer, interactive: false, color: App.draw.classes[draw.chosen].color };
  draw.line = L.layerGroup([
    L.polyline(points, { ...style, color: "#fff", weight: 5 }),
    L.polyline(points, { ...style, weight: 3 }),
    ...draw.ring.map((one, number) =>
      L.circleMarker(App.toLatLng(one), { ...style, radius: number ? 4 : 7, color: "#000", weight: 1.5, fillColor: "#fff", fillOpacity: 1 }),
    ),
  ]).addTo(App.map);
};

App.showHandles = function () {
  const { draw } = App;
  draw.handles.clearLayers();
  if (!draw.selected) return;
  for (const ring of draw.selected.rings)
    ring.forEach((point, number) => {
      App.addHandle(ring, number, point, false);
      const next = ring[(number + 1) % ring.length];
      const middle = [(point[0] + next[0]) / 2, (point[1] + next[1]) / 2];
      const gap = App.map.latLngToContainerPoint(App.toLatLng(point)).distanceTo(App.map.latLngToContainerPoint(App.toLatLng(next)));
      if (gap > 40) App.addHandle(ring, number, middle, true);
    });
};

App.addHandle = function (ring, number, point, isMiddle) {
  const size = isMiddle ? 12 : 16;
  const icon = L.divIcon({ className: isMiddle ? "handle is-middle" : "handle", iconSize: [size, size] });
  const handle = L.marker(App.toLatLng(point), { icon, draggable: true, keyboard: false, zIndexOffset: isMiddle ? 0 : 1000 });
  handle.on("dragend", () => {
    App.remember();
    const moved = App.toPlane(handle.getLatLng());
    const changed = [...ring];
    changed.splice(isMiddle ? number + 1 : number, isMiddle ? 0 : 1, moved);
    App.takeRing(ring, changed);
  });
  handle.on("dblclick", (event) => {
    L.DomEvent.stop(event);
    if (isMiddle || ring.length < 4) return App.say("A polygon has three points or more.");
    App.remember();
    App.takeRing(ring, ring.filter((_, index) => index !== number));
  });
  handle.addTo(App.draw.handles);
};

App.takeRing = function (ring, changed) {
  if (App.crossesItself(changed)) {
    App.draw.past.pop();
    App.say("This polygon would cross itself: the change is taken back.");
  } else ring.splice(0, ring.length, ...changed);
  App.showAll();
};

// Coordinates of the file: longitude and latitude, or those of a scene without a CRS.
App.toFile = function ([x, y]) {
  const way = App.content.draw.transform;
  if (way) {
    const [col, row] = [x, -y];
    return [way[0] * col + way[1] * row + way[2], way[3] * col + way[4] * row + way[5]];
  }
  const { lat, lng } = App.toLatLng([x, y]);
  return [Number(lng.toFixed(9)), Number(lat.toFixed(9))];
};

App.fromFile = function ([x, y]) {
  const way = App.content.draw.transform;
  if (!way) {
    const { lng } = App.toLatLng([(App.content.bounds[0] + App.content.bounds[2]) / 2, 0]);
    return App.toPlane(L.latLng(y, x + 360 * Math.round((lng - x) / 360)));
  }
  const [a, b, c, d, e, f] = way;
  const scale = a * e - b * d;
  return [(e * (x - c) - b * (y - f)) / scale, -(a * (y - f) - d * (x - c)) / scale];
};

App.toGeoJSON = function () {
  const area = (ring) => ring.reduce((sum, [x, y], i) => {
    const [nextX, nextY] = ring[(i + 1) % ring.length];
    return sum + x * nextY - nextX * y;
  }, 0);
  const written = (ring, isHole) => {
    const points = ring.map(App.toFile);
    if (area(points) > 0 === isHole) points.reverse(); // outer rings run counterclockwise (RFC 7946)
    return [...points, points[0]];
  };
  const features = App.draw.polygons.map((one) => ({
    type: "Feature",
    properties: { [CLASS_FIELD]: one.name },
    geometry: { type: "Polygon", coordinates: one.rings.map((ring, number) => written(ring, number > 0)) },
  }));
  const head = { type: "FeatureCollection", name: "labels" };
  // null: coordinates of no CRS, as GeoJSON had it in 2008
  return JSON.stringify({ ...head, ...(App.content.draw.transform ? { crs: null } : {}), features });
};

App.save = function () {
  const { draw } = App;
  if (draw.ring.length) return App.say("A polygon is not finished yet: finish it, or drop it with Esc.");
  if (!draw.polygons.length) return App.say("There is nothing to save yet: click on the map to draw a polygon.");
  const url = URL.createObjectURL(new Blob([App.toGeoJSON()], { type: "application/geo+json" }));
  const link = App.make("a", { href: url, download: App.content.draw.fileName });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  draw.isChanged = false;
  App.say(`${draw.polygons.length} polygons saved as ${App.content.draw.fileName}, field ${CLASS_FIELD}.`);
};

App.loadFile = async function (input) {
  try {
    App.load(JSON.parse(await input.files[0].text()));
  } catch (error) {
    App.say(`This file cannot be loaded (${error.message}): choose a GeoJSON file with polygons.`);
  }
  input.value = "";
};

// Take polygons with a class as drawn ones, others as suggestions.
App.load = function (collection) {
  const { draw } = App;
  const isInPixels = Boolean(App.content.draw.transform);
  if (isInPixels !== (collection.crs === null)) {
    throw new Error(isInPixels ? "its coordinates are not the scene's, which has no CRS" : "it has no longitudes and latitudes");
  }
  const read = [];
  const windows = [];
  for (const { geometry, properties } of collection.features) {
    const parts = { Polygon: [geometry?.coordinates], MultiPolygon: geometry?.coordinates }[geometry?.type] ?? [];
    for (const part of parts) {
      const rings = part.map((ring) => ring.slice(0, -1).map(App.fromFile));
      if (!rings.flat(2).every(Number.isFinite)) throw new Error("it has coordinates that are no numbers");
      const name = properties?.[CLASS_FIELD];
      if (name === undefined || name === null) windows.push({ ring: rings[0], text: properties?.reason ?? "" });
      else read.push({ name: String(name), rings });
    }
  }
  if (read.length) App.remember();
  draw.polygons.push(...read);
  for (const name of new Set(read.map((one) => one.name)))
    if (!draw.classes.some((one) => one.name === name)) App.say(`Class ${name} is none of this map's: its polygons are grey.`);
  App.addWindows(windows);
  App.showAll();
};

App.takeSuggestions = function () {
  const layer = App.layers.find((one) => one.kind === "suggestions");
  if (!layer) return;
  const { data } = layer;
  const windows = [];
  for (let i = 0; i < data.features; i++) {
    const ring = [];
    for (let j = data.pointStarts[data.ringStarts[i]]; j < data.pointStarts[data.ringStarts[i] + 1] - 1; j++)
      ring.push([data.x[j], data.y[j]]);
    windows.push({ ring, text: data.attributes.reason?.[i] ?? "" });
  }
  App.addWindows(windows);
};

App.addWindows = function (windows) {
  const { draw, make } = App;
  if (windows.length && !draw.windows.length) draw.list.append(make("h2", {}, "Suggestions"));
  for (const one of windows) {
    draw.windows.push(one);
    const number = draw.windows.length;
    const latlngs = one.ring.map(App.toLatLng);
    one.outline = L.polygon(latlngs, { renderer: draw.renderer, interactive: false, color: "#ffd60a", weight: 3, fill: false });
    one.outline.addTo(draw.outlines);
    const box = make("input", { type: "checkbox", id: `suggestion-${number}` });
    box.setAttribute("aria-label", `Suggestion ${number} is done`);
    box.addEventListener("change", () => one.outline.setStyle({ opacity: box.checked ? 0.25 : 1 }));
    const go = make("button", { type: "button" }, "Go");
    go.addEventListener("click", () => App.map.fitBounds(L.latLngBounds(latlngs), { maxZoom: 24, padding: [60, 60] }));
    const text = make("label", { htmlFor: box.id }, `${number}. ${one.text}`);
    draw.list.append(make("div", { className: "row" }, box, text, go));
  }
};
