// The map: pictures and polygons, a panel with legend and opacity. Text never becomes HTML.
"use strict";

const App = { content: JSON.parse(document.getElementById("content").textContent), layers: [] };

App.make = function (tag, attributes = {}, ...children) {
  const found = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in found && name !== "style") found[name] = value;
    else found.setAttribute(name, value);
  }
  found.append(...children);
  return found;
};

App.say = function (text, seconds = 6) {
  const bar = document.getElementById("message");
  bar.textContent = text;
  bar.hidden = !text;
  clearTimeout(App.silence);
  if (text && seconds) App.silence = setTimeout(() => (bar.hidden = true), 1000 * seconds);
};

App.toPlane = (latlng) => {
  const point = App.map.options.crs.projection.project(latlng);
  return [point.x, point.y];
};
App.toLatLng = ([x, y]) => App.map.options.crs.projection.unproject(L.point(x, y));

App.areaText = function (area, unit) {
  if (unit !== "m²") return `${Math.round(area).toLocaleString("en")} ${unit}`;
  const hectares = area / 1e4;
  const digits = hectares >= 100 ? 0 : hectares >= 1 ? 1 : hectares >= 0.01 ? 2 : 4;
  return `${hectares.toLocaleString("en", { maximumFractionDigits: digits })} ha`;
};

App.start = async function () {
  const { content } = App;
  const isMercator = content.crs === "mercator";
  const map = (App.map = L.map("map", {
    crs: isMercator ? L.CRS.EPSG3857 : L.CRS.Simple,
    minZoom: isMercator ? 1 : -12,
    maxZoom: isMercator ? 24 : 8,
    zoomSnap: 0.25,
    zoomDelta: 0.5,
    wheelPxPerZoomLevel: 120,
    doubleClickZoom: !content.draw,
    boxZoom: !content.draw,
  }));
  map.attributionControl.setPrefix(false);
  const [left, bottom, right, top] = content.bounds;
  const bounds = L.latLngBounds(App.toLatLng([left, bottom]), App.toLatLng([right, top]));
  const isWide = window.innerWidth > 600;
  map.fitBounds(bounds, { paddingTopLeft: [12, 12], paddingBottomRight: isWide ? [296, 12] : [12, 0.4 * innerHeight] });
  map.createPane("after").style.zIndex = 400;
  map.createPane("results").style.zIndex = 400;
  map.createPane("drawing").style.zIndex = 450;
  if (content.basemap) {
    L.tileLayer(content.basemap.url, { maxNativeZoom: content.basemap.zoom, maxZoom: 24, attribution: "" }).addTo(map);
    map.attributionControl.addAttribution(content.basemap.attribution);
  }
  for (const picture of content.pictures) App.addPicture(picture, bounds);
  await Promise.all(content.vectors.map(App.addPolygons));
  for (const layer of App.layers) if (layer.isOn) layer.shown.addTo(map);
  App.addScale(isMercator);
  App.fillPanel();
  if (content.dates.length) App.addDatesLine(bounds);
  if (content.draw) return App.startDrawing();
  map.on("click", (event) => App.tell(event.latlng));
  map.on("keypress", (event) => event.originalEvent.key === "Enter" && App.tell(map.getCenter()));
};

// Pictures that lie below, as they are; all others are results, which opacity and swipe are for.
App.isBase = (layer) => ["scene", "before", "after"].includes(layer.kind);

App.addPicture = function (picture, bounds) {
  const shown = L.imageOverlay(picture.src, bounds, {
    pane: picture.kind === "after" ? "after" : App.isBase(picture) ? "overlayPane" : "results",
    className: picture.isSharp ? "is-sharp" : "",
    alt: picture.name,
  });
  App.layers.push({ name: picture.name, kind: picture.kind, shown, isOn: picture.isOn });
};

App.addPolygons = async function (layer) {
  const data = await Geo.unpack(layer);
  const isCased = App.content.dates.length > 0; // outlines of classes over pictures in the same colours
  const style = { colors: layer.classes.map((one) => one.color), isFilled: !layer.isOutline, isCased };
  const shown = new Geo.Canvas(data, style, { pane: "results" });
  const { name, kind, classes } = layer;
  App.layers.push({ name, kind, shown, isOn: kind !== "suggestions" || !App.content.draw, data, classes });
};

App.addScale = function (isMercator) {
  const map = App.map;
  if (isMercator) L.control.scale({ imperial: false, maxWidth: 140 }).addTo(map);
  else {
    const Scale = L.Control.Scale.extend({
      _updateMetric(most) {
        const round = this._getRoundNum(most);
        this._updateScale(this._mScale, `${round} px`, round / most);
      },
    });
    new Scale({ imperial: false, maxWidth: 140 }).addTo(map);
    return;
  }
  const North = L.Control.extend({
    onAdd() {
      const space = "http://www.w3.org/2000/svg";
      const picture = document.createElementNS(space, "svg");
      for (const [name, value] of Object.entries({ width: 30, height: 44, viewBox: "0 0 30 44", role: "img" }))
        picture.setAttribute(name, value);
      picture.setAttribute("aria-label", "North is up");
      for (const [d, fill] of [["M15 14 L24 42 L15 36 Z", "#1d2a35"], ["M15 14 L6 42 L15 36 Z", "#fff"]]) {
        const path = document.createElementNS(space, "path");
        for (const [name, value] of Object.entries({ d, fill, stroke: "#1d2a35" })) path.setAttribute(name, value);
        picture.append(path);
      }
      const letter = document.createElementNS(space, "text");
      for (const [name, value] of Object.entries({ x: 15, y: 11, "text-anchor": "middle", "font-size": 12 }))
        letter.setAttribute(name, value);
      letter.setAttribute("font-weight", "700");
      letter.textContent = "N";
      picture.append(letter);
      return App.make("div", { className: "north" }, picture);
    },
  });
  new North({ position: "bottomleft" }).addTo(map);
};

App.fillPanel = function () {
  const { content, make } = { content: App.content, make: App.make };
  const panel = document.getElementById("panel");
  const toggle = document.getElementById("panel-toggle");
  toggle.addEventListener("click", () => {
    panel.hidden = !panel.hidden;
    toggle.setAttribute("aria-expanded", String(!panel.hidden));
  });
  panel.append(make("h1", {}, content.title));
  if (content.draw) panel.append(make("div", { id: "drawing" }));
  panel.append(make("h2", {}, "Layers"), ...App.layers.map(App.layerRow));
  if (App.layers.some((one) => !App.isBase(one))) panel.append(App.opacityRow());
  if (App.layers.some((one) => !App.isBase(one)) && !content.dates.length) panel.append(App.swipeRow());
  if (content.legend.length) panel.append(make("h2", {}, "Legend"), ...content.legend.map(App.legendRow));
  if (content.pictures.some((one) => one.kind === "confidence")) panel.append(...App.heatLegend());
  for (const note of content.notes) panel.append(make("p", {}, note));
};

App.layerRow = function (layer, index) {
  const box = App.make("input", { type: "checkbox", checked: layer.isOn, id: `layer-${index}` });
  box.addEventListener("change", () => {
    layer.isOn = box.checked;
    if (box.checked) layer.shown.addTo(App.map);
    else layer.shown.remove();
    App.stack();
  });
  return App.make("div", { className: "row" }, box, App.make("label", { htmlFor: box.id }, layer.name));
};

// Pictures below polygons, whatever was switched on last.
App.stack = function () {
  for (const layer of App.layers) {
    if (!layer.isOn) continue;
    if (layer.data) layer.shown.getPane("results").append(layer.shown._container);
    else layer.shown.bringToFront();
  }
};

App.opacityRow = function () {
  const slider = App.make("input", { type: "range", min: 0, max: 100, value: 60, id: "opacity" });
  const apply = () => {
    for (const layer of App.layers) if (!App.isBase(layer)) layer.shown.setOpacity(slider.value / 100);
  };
  slider.addEventListener("input", apply);
  slider.value = App.layers.some((one) => one.kind === "scene") ? 60 : 100;
  apply();
  return App.make("div", { className: "row" }, App.make("label", { htmlFor: "opacity", style: "flex: none" }, "Opacity"), slider);
};

App.legendRow = function (entry, index) {
  const swatch = App.make("span", { className: "swatch" });
  swatch.style.background = entry.color;
  const name = App.make("label", {}, entry.name);
  const row = App.make("div", { className: "row" });
  const targets = App.layers.filter((one) => one.classes?.some((item) => item.name === entry.name));
  if (targets.length) {
    const box = App.make("input", { type: "checkbox", checked: true, id: `class-${index}` });
    name.htmlFor = box.id;
    box.addEventListener("change", () => {
      for (const layer of targets) {
        layer.hidden = layer.hidden ?? new Set();
        const number = layer.classes.findIndex((item) => item.name === entry.name);
        if (box.checked) layer.hidden.delete(number);
        else layer.hidden.add(number);
        layer.shown.setHidden(layer.hidden);
      }
    });
    row.append(box);
  }
  row.append(swatch, name);
  if (entry.area !== null) {
    const text = App.areaText(entry.area, App.content.areaUnit);
    row.append(App.make("span", { className: "area" }, App.content.areasAreEstimates ? `≈ ${text}` : text));
  }
  return row;
};

App.heatLegend = function () {
  const bar = App.make("div", { className: "scale-of-colors" });
  bar.style.background = `linear-gradient(to right, ${App.content.heat.join(", ")})`;
  const ends = App.make("div", { className: "ends" }, App.make("span", {}, "0 %"), App.make("span", {}, "100 %"));
  return [App.make("h2", {}, "Confidence"), bar, ends];
};

// Tell what a place is, in a popup.
App.tell = function (latlng) {
  const [x, y] = App.toPlane(latlng);
  for (const layer of [...App.layers].reverse()) {
    if (!layer.data || !layer.isOn) continue;
    const found = Geo.find(layer.data, x, y, (one) => !layer.hidden?.has(one));
    if (found < 0) continue;
    layer.shown.select(found);
    const popup = L.popup({ autoPan: true }).setLatLng(latlng).setContent(App.popupOf(layer, found)).openOn(App.map);
    popup.on("remove", () => layer.shown.select(-1));
    return;
  }
};

App.popupOf = function (layer, feature) {
  const table = App.make("table");
  for (const [field, values] of Object.entries(layer.data.attributes)) {
    const value = values[feature];
    if (value === null) continue;
    const text = typeof value === "number" ? value.toLocaleString("en", { maximumFractionDigits: 4 }) : String(value);
    const cell = App.make("td", {}, text);
    table.append(App.make("tr", {}, App.make("th", { scope: "row" }, field), cell));
  }
  const name = App.make("strong", {}, layer.classes[layer.data.classes[feature]].name);
  return App.make("div", { className: "popup" }, name, table);
};

addEventListener("error", (event) => App.say(`This map is broken: ${event.message}`, 0));
document.addEventListener("DOMContentLoaded", () =>
  App.start().then(
    () => (document.documentElement.dataset.ready = "true"),
    (error) => {
      console.error(error);
      App.say(`This map cannot be shown: ${error.message}. It needs a browser of 2023 or later.`, 0);
    },
  ),
);
