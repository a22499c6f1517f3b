// What a reader can turn: planes, slice, window, opacity and labels. Both pages have these controls.
"use strict";

// An element with properties and children: segline.make("p", { class: "x" }, "text").
segline.make = (tag, properties = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
};

// Level and width, in Hounsfield units, as radiologists set them.
segline.CT_WINDOWS = {
  "soft tissue": [40, 400],
  liver: [60, 160],
  lung: [-600, 1500],
  mediastinum: [50, 350],
  bone: [400, 1800],
  brain: [40, 80],
};

segline.Controls = class {
  #scene;
  #parts = {};
  #usual;

  // `bar` is below the picture, `panel` beside it.
  constructor(scene, bar, panel) {
    this.#scene = scene;
    this.where = segline.make("p", { className: "where", id: "where" });
    bar.append(this.#layouts(), this.#slice(), this.where);
    panel.append(this.#window(), this.#opacity());
    scene.onchange = () => this.update();
    scene.dragsWindow = false;
  }

  // A new scan was opened.
  opened() {
    const { make } = segline;
    const { channels, channel, preset } = this.#parts;
    this.#usual = this.#scene.range;
    channels.hidden = this.#scene.channels < 2;
    channel.replaceChildren(
      ...Array.from({ length: this.#scene.channels }, (_, at) => make("option", { value: at }, `${at + 1}`)),
    );
    const named = this.#scene.isCt ? Object.keys(segline.CT_WINDOWS) : [];
    preset.replaceChildren(...["", "as opened", ...named].map((name) => make("option", { value: name }, name || "…")));
    this.update();
  }

  update() {
    const scene = this.#scene;
    if (!scene.scan) return;
    const { level, width, slice, number } = this.#parts;
    const [low, high] = scene.range;
    const digits = high - low < 10 ? 3 : 0;
    if (document.activeElement !== level) level.value = ((low + high) / 2).toFixed(digits);
    if (document.activeElement !== width) width.value = (high - low).toFixed(digits);
    slice.max = scene.slices;
    slice.value = scene.slice;
    slice.disabled = scene.layout === "solid";
    number.textContent = `${["sagittal", "coronal", "axial"][scene.axis]} ${scene.slice} of ${scene.slices}`;
    this.where.textContent = scene.where;
  }

  #layouts() {
    const { make } = segline;
    const buttons = Object.entries(segline.LAYOUTS).map(([name, title]) =>
      make("label", {}, make("input", {
        type: "radio", name: "layout", value: name, checked: name === "all",
        onchange: () => this.#scene.setLayout(name),
      }), make("span", {}, title)),
    );
    return make("fieldset", { className: "choice", ariaLabel: "View" }, ...buttons);
  }

  #slice() {
    const { make } = segline;
    const slice = make("input", { type: "range", min: 1, max: 1, step: 1, id: "slice" });
    slice.oninput = () => { this.#scene.slice = Number(slice.value); };
    const number = make("output", { htmlFor: "slice", id: "slice-number" });
    Object.assign(this.#parts, { slice, number });
    return make("div", { className: "row" }, make("label", { htmlFor: "slice" }, "Slice"), slice, number);
  }

  #window() {
    const { make } = segline;
    const field = (id) => make("input", { type: "number", id, step: "any", onchange: () => this.#typed() });
    const level = field("level"), width = field("width");
    const preset = make("select", { id: "preset", ariaLabel: "Window by name", onchange: () => this.#named() });
    const drag = make("input", { type: "checkbox", id: "drag", onchange: () => { this.#scene.dragsWindow = drag.checked; } });
    const channel = make("select", { id: "channel", onchange: () => {
      this.#scene.setChannel(Number(channel.value));
      this.#usual = this.#scene.range;
    } });
    const channels = make("label", { hidden: true }, "Channel ", channel);
    Object.assign(this.#parts, { level, width, preset, channel, channels });
    return make("fieldset", { className: "window" },
      make("legend", {}, "Window"),
      make("label", {}, "Level", level), make("label", {}, "Width", width), make("label", {}, "Preset", preset),
      make("label", { className: "check" }, drag, "Drag sets it (or the right button)"), channels);
  }

  #typed() {
    const { level, width } = this.#parts;
    const centre = Number(level.value), wide = Math.abs(Number(width.value));
    if (!this.#scene.scan || !Number.isFinite(centre) || !wide) return;
    this.#scene.setRange(centre - wide / 2, centre + wide / 2);
  }

  #named() {
    const name = this.#parts.preset.value;
    if (!this.#scene.scan || !name) return;
    const [centre, wide] = segline.CT_WINDOWS[name] || [];
    const [low, high] = wide ? [centre - wide / 2, centre + wide / 2] : this.#usual;
    this.#scene.setRange(low, high);
  }

  #opacity() {
    const { make } = segline;
    const opacity = make("input", { type: "range", min: 0, max: 100, value: 100 * this.#scene.opacity, id: "opacity" });
    opacity.oninput = () => { this.#scene.opacity = opacity.value / 100; };
    return make("div", { className: "row" }, make("label", { htmlFor: "opacity" }, "Opacity"), opacity);
  }
};

// A box a label, with its colour, its name and what stands beside it; `masks` are the scene's that have it.
segline.labelRows = (scene, masks, labels) => labels.map(({ value, name, colour, beside }) => {
  const { make } = segline;
  const box = make("input", { type: "checkbox", checked: true, onchange: () => {
    for (const mask of masks) {
      for (const label of scene.mask(mask)?.labels || []) if (label.value === value) label.on = box.checked;
    }
    scene.draw();
  } });
  const swatch = make("i");
  swatch.style.background = colour;
  return make("li", {}, make("label", {}, box, swatch, make("span", {}, name), make("output", {}, beside || "")));
});
