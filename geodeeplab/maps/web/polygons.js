// Polygons on a canvas: unpacked from gzip, drawn by feature, found by point. Text never becomes HTML.
"use strict";

const Geo = {};
const SMALL_PX = 3.5; // a feature within so many pixels of the screen is drawn as a rectangle
const NEAR_PX = 1; // points closer than this to the one before are left out

// Unpack what packing.py packed.
Geo.unpack = async function (layer) {
  const packed = Uint8Array.from(atob(layer.content), (one) => one.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = await new Response(stream).arrayBuffer();
  const [features, rings, points] = layer.counts;
  let at = 0;
  const take = (Type, count) => {
    const found = new Type(bytes.slice(at, at + count * Type.BYTES_PER_ELEMENT));
    at += count * Type.BYTES_PER_ELEMENT;
    return found;
  };
  const ringCounts = take(Uint32Array, features);
  const classes = take(Uint16Array, features);
  const pointCounts = take(Uint32Array, rings);
  const coordinates = () => {
    const planes = take(Uint8Array, 4 * points);
    const found = new Float64Array(points);
    let value = 0;
    for (let i = 0; i < points; i++) {
      value += planes[i] | (planes[points + i] << 8) | (planes[2 * points + i] << 16) | (planes[3 * points + i] << 24);
      found[i] = value;
    }
    return found;
  };
  const x = coordinates();
  const y = coordinates();
  for (let i = 0; i < points; i++) {
    x[i] = layer.origin[0] + layer.step * x[i];
    y[i] = layer.origin[1] + layer.step * y[i];
  }
  const attributes = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, at)));
  const starts = (counts) => {
    const found = new Uint32Array(counts.length + 1);
    for (let i = 0; i < counts.length; i++) found[i + 1] = found[i] + counts[i];
    return found;
  };
  const ringStarts = starts(ringCounts);
  const pointStarts = starts(pointCounts);
  const boxes = new Float64Array(4 * features);
  for (let i = 0; i < features; i++) {
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    for (let j = pointStarts[ringStarts[i]]; j < pointStarts[ringStarts[i + 1]]; j++) {
      box[0] = Math.min(box[0], x[j]);
      box[1] = Math.min(box[1], y[j]);
      box[2] = Math.max(box[2], x[j]);
      box[3] = Math.max(box[3], y[j]);
    }
    boxes.set(box, 4 * i);
  }
  return { features, classes, ringStarts, pointStarts, x, y, boxes, attributes };
};

// The feature that covers a point (x, y) of the plane; the smallest of several; -1: none.
Geo.find = function (data, x, y, isShown) {
  let found = -1;
  let smallest = Infinity;
  for (let i = 0; i < data.features; i++) {
    const [left, bottom, right, top] = data.boxes.subarray(4 * i, 4 * i + 4);
    if (x < left || x > right || y < bottom || y > top || !isShown(data.classes[i])) continue;
    const size = (right - left) * (top - bottom);
    if (size < smallest && Geo.covers(data, i, x, y)) {
      found = i;
      smallest = size;
    }
  }
  return found;
};

Geo.covers = function (data, feature, x, y) {
  let inside = false;
  for (let ring = data.ringStarts[feature]; ring < data.ringStarts[feature + 1]; ring++) {
    const first = data.pointStarts[ring];
    const stop = data.pointStarts[ring + 1];
    for (let i = first, before = stop - 1; i < stop; before = i++) {
      const [x1, y1, x2, y2] = [data.x[before], data.y[before], data.x[i], data.y[i]];
      if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
    }
  }
  return inside;
};

// From points of the plane to pixels of a zoom level: x * ax + bx, y * ay + by.
Geo.scaling = function (map, zoom) {
  const { crs } = map.options;
  const scale = crs.scale(zoom);
  const zero = crs.transformation.transform(L.point(0, 0), scale);
  const one = crs.transformation.transform(L.point(1, 1), scale);
  return { ax: one.x - zero.x, bx: zero.x, ay: one.y - zero.y, by: zero.y };
};

Geo.Canvas = L.Renderer.extend({
  initialize(data, style, options) {
    L.Util.setOptions(this, Object.assign({ padding: 0.25 }, options));
    L.Util.stamp(this);
    this._layers = {};
    this._data = data;
    this._style = style;
    this._hidden = new Set();
    this._selected = -1;
  },
  setOpacity(opacity) {
    this._opacity = opacity;
    if (this._container) this._container.style.opacity = opacity;
  },
  setHidden(hidden) {
    this._hidden = hidden;
    this.redraw();
  },
  select(feature) {
    this._selected = feature;
    this.redraw();
  },
  redraw() {
    if (this._map) this._draw();
  },
  _initContainer() {
    const canvas = (this._container = document.createElement("canvas"));
    canvas.style.pointerEvents = "none";
    canvas.style.opacity = this._opacity ?? 1;
    this._context = canvas.getContext("2d");
  },
  _destroyContainer() {
    L.DomUtil.remove(this._container);
    delete this._context;
  },
  _update() {
    if (this._map._animatingZoom && this._bounds) return;
    L.Renderer.prototype._update.call(this);
    this._draw();
  },
  _draw() {
    const size = this._bounds.getSize();
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const canvas = this._container;
    L.DomUtil.setPosition(canvas, this._bounds.min);
    canvas.width = ratio * size.x;
    canvas.height = ratio * size.y;
    canvas.style.width = `${size.x}px`;
    canvas.style.height = `${size.y}px`;
    const context = this._context;
    context.scale(ratio, ratio);
    context.translate(-this._bounds.min.x, -this._bounds.min.y);
    context.lineJoin = "round";
    const origin = this._map.getPixelOrigin();
    const { ax, bx, ay, by } = Geo.scaling(this._map, this._map.getZoom());
    const way = { ax, bx: bx - origin.x, ay, by: by - origin.y };
    for (let i = 0; i < this._data.features; i++) this._drawFeature(context, i, way);
    if (this._selected >= 0) this._drawSelected(context, way);
  },
  _drawFeature(context, i, { ax, bx, ay, by }) {
    const { boxes, classes } = this._data;
    const left = boxes[4 * i] * ax + bx;
    const right = boxes[4 * i + 2] * ax + bx;
    const top = boxes[4 * i + 3] * ay + by;
    const bottom = boxes[4 * i + 1] * ay + by;
    const { min, max } = this._bounds;
    if (right < min.x || left > max.x || bottom < min.y || top > max.y || this._hidden.has(classes[i])) return;
    const color = this._style.colors[classes[i]];
    if (right - left < SMALL_PX && bottom - top < SMALL_PX) {
      context.fillStyle = color;
      context.fillRect(left, top, Math.max(right - left, 0.7), Math.max(bottom - top, 0.7));
      return;
    }
    this._trace(context, i, { ax, bx, ay, by });
    if (this._style.isFilled) {
      context.fillStyle = color;
      context.fill("evenodd");
    }
    if (this._style.isCased) {
      context.strokeStyle = "#000";
      context.lineWidth = 3;
      context.stroke();
    }
    context.strokeStyle = color;
    context.lineWidth = this._style.isFilled ? 0.8 : this._style.isCased ? 1.5 : 2;
    context.stroke();
  },
  _drawSelected(context, way) {
    this._trace(context, this._selected, way);
    context.strokeStyle = "#000";
    context.lineWidth = 5;
    context.stroke();
    context.strokeStyle = "#fff";
    context.lineWidth = 2.5;
    context.stroke();
  },
  _trace(context, i, { ax, bx, ay, by }) {
    const { ringStarts, pointStarts, x, y } = this._data;
    context.beginPath();
    for (let ring = ringStarts[i]; ring < ringStarts[i + 1]; ring++) {
      let lastX = Infinity;
      let lastY = Infinity;
      for (let j = pointStarts[ring]; j < pointStarts[ring + 1]; j++) {
        const atX = x[j] * ax + bx;
        const atY = y[j] * ay + by;
        if (lastX === Infinity) context.moveTo(atX, atY);
        else if (Math.abs(atX - lastX) + Math.abs(atY - lastY) < NEAR_PX) continue;
        else context.lineTo(atX, atY);
        lastX = atX;
        lastY = atY;
      }
      context.closePath();
    }
  },
});
