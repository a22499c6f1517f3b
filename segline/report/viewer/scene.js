// A scan with label maps over it, in three planes and in 3-D: what both pages show volumes with, drawn by NiiVue.
"use strict";

var segline = window.segline || {};
window.segline = segline;

// The colours of segline/report/pictures/overlays.py: one a label, in turn.
segline.COLOURS = ["#3fc6a0", "#f2c14e", "#c792ea", "#ff8f6b", "#7cc4ff", "#d7e36b"];
segline.colourOf = (value) => segline.COLOURS[(value - 1) % segline.COLOURS.length];

segline.LAYOUTS = { all: "All", axial: "Axial", coronal: "Coronal", sagittal: "Sagittal", solid: "3-D" };

segline.Scene = class {
  // Called when the crosshair, the window or the scan has changed; `where` is what lies at the crosshair.
  onchange = () => {};
  layout = "all";
  where = "";
  #nv;
  #shown = []; // one a mask, under its name: {image, labels: [{value, colour, on}], on}
  #opacity = 0.5;

  static async on(canvas) {
    const scene = new segline.Scene();
    const { DRAG_MODE, MULTIPLANAR_TYPE, SHOW_RENDER } = niivue;
    scene.#nv = new niivue.Niivue({
      dragAndDropEnabled: false,
      isRadiologicalConvention: true,
      isCornerOrientationText: true,
      multiplanarLayout: MULTIPLANAR_TYPE.GRID,
      multiplanarShowRender: SHOW_RENDER.ALWAYS,
      multiplanarPadPixels: 4,
      crosshairColor: [0.95, 0.95, 0.95, 0.7], // of no label's or error's hue
      crosshairWidthUnit: "percent",
      crosshairWidth: 0.25,
      fontColor: [0.75, 0.8, 0.85, 1],
      backColor: [0.03, 0.04, 0.05, 1],
      dragMode: DRAG_MODE.windowing,
      logLevel: "error",
      loadingText: "",
      showLegend: false,
      clipPlaneHotKey: "",
      cycleClipPlaneHotKey: "",
      viewModeHotKey: "",
    });
    scene.#nv.onIntensityChange = () => scene.onchange();
    scene.#nv.onLocationChange = (location) => scene.#moved(location);
    await scene.#nv.attachToCanvas(canvas);
    return scene;
  }

  get scan() {
    return this.#nv.volumes[0];
  }

  // Show a file alone; `range` are the values that are black and white.
  async open(file, range = null) {
    const image = await segline.read(file);
    this.clear();
    this.#nv.addVolume(image);
    const [low, high] = range || (this.isCt ? [-160, 240] : [image.cal_min, image.cal_max]);
    this.setRange(low, high);
    this.#nv.scene.crosshairPos = [0.5, 0.5, 0.5];
    this.draw();
  }

  clear() {
    this.#shown = [];
    for (const volume of [...this.#nv.volumes]) this.#nv.removeVolume(volume);
  }

  // Lay a file's label map over the scan; `labels` are [{value, name, colour}].
  async cover(name, file, labels, on = true) {
    const image = await segline.read(file);
    this.uncover(name);
    this.#nv.addVolume(image);
    this.#shown.push({ name, image, on, labels: labels.map((label) => ({ ...label, on: true })) });
    this.draw();
  }

  // Move the crosshair to the middle of a mask, in the slice that it fills most, if there is anything in it.
  centre(name) {
    const { img, hdr } = this.mask(name).image;
    const [, width, height, depth] = hdr.dims;
    const area = width * height;
    const filled = new Array(depth).fill(0);
    for (let at = 0; at < area * depth; at++) if (img[at]) filled[Math.floor(at / area)]++;
    const most = Math.max(...filled);
    if (!most) return;
    const slice = filled.indexOf(most);
    const voxel = [0, 0, slice];
    for (let at = 0; at < area; at++) {
      if (!img[slice * area + at]) continue;
      voxel[0] += (at % width) / most;
      voxel[1] += Math.floor(at / width) / most;
    }
    const [x, y, z] = hdr.affine.map((row) => row[3] + row[0] * voxel[0] + row[1] * voxel[1] + row[2] * voxel[2]);
    this.#place(this.#nv.mm2frac([x, y, z]));
  }

  uncover(name) {
    const mask = this.mask(name);
    if (!mask) return;
    this.#nv.removeVolume(mask.image);
    this.#shown = this.#shown.filter((other) => other !== mask);
  }

  mask(name) {
    return this.#shown.find((mask) => mask.name === name);
  }

  get opacity() {
    return this.#opacity;
  }

  set opacity(share) {
    this.#opacity = share;
    this.draw();
  }

  // Colours of labels that are switched off are clear; so is all of a mask that is.
  draw() {
    for (const { image, labels, on } of this.#shown) {
      const table = { R: [0], G: [0], B: [0], A: [0], I: [0] };
      for (const label of labels) {
        const [red, green, blue] = [1, 3, 5].map((at) => parseInt(label.colour.slice(at, at + 2), 16));
        table.R.push(red);
        table.G.push(green);
        table.B.push(blue);
        table.A.push(on && label.on ? 255 : 0);
        table.I.push(label.value);
      }
      image.setColormapLabel(table);
      image.opacity = this.#opacity;
    }
    this.#nv.updateGLVolume();
    this.onchange();
  }

  setLayout(name) {
    const { AXIAL, CORONAL, SAGITTAL, MULTIPLANAR, RENDER } = niivue.SLICE_TYPE;
    const types = { all: MULTIPLANAR, axial: AXIAL, coronal: CORONAL, sagittal: SAGITTAL, solid: RENDER };
    this.layout = name;
    this.#nv.setSliceType(types[name]);
    this.onchange();
  }

  // The left button and one finger move the crosshair, or the window with `true`; the right button the window.
  set dragsWindow(on) {
    const { crosshair, windowing, pan } = niivue.DRAG_MODE;
    const left = on ? windowing : crosshair;
    this.#nv.setMouseEventConfig({ leftButton: { primary: left }, rightButton: windowing, centerButton: pan });
    this.#nv.setTouchEventConfig({ singleTouch: left, doubleTouch: pan });
  }

  // Whether values look like Hounsfield units: air is far below 0, and nothing is far above metal.
  get isCt() {
    const { img, hdr } = this.scan;
    const scaled = (value) => value * (hdr.scl_slope || 1) + (hdr.scl_inter || 0);
    const values = [Infinity, -Infinity];
    for (let at = 0; at < img.length; at += 5) {
      values[0] = Math.min(values[0], img[at]);
      values[1] = Math.max(values[1], img[at]);
    }
    return scaled(values[0]) <= -500 && scaled(values[1]) <= 32767;
  }

  get range() {
    return [this.scan.cal_min, this.scan.cal_max];
  }

  setRange(low, high) {
    this.scan.cal_min = low;
    this.scan.cal_max = Math.max(high, low + 1e-6 * Math.max(1, Math.abs(low)));
    this.#nv.updateGLVolume();
    this.onchange();
  }

  // Of files that hold several channels.
  get channels() {
    return this.scan ? this.scan.nFrame4D || 1 : 0;
  }

  setChannel(number) {
    this.#nv.setFrame4D(this.scan.id, number);
    const [, , low, high] = this.scan.calMinMax();
    if (high > low) this.setRange(low, high);
  }

  // The axis that is scrolled through: 0 right, 1 anterior, 2 superior.
  get axis() {
    return { sagittal: 0, coronal: 1 }[this.layout] ?? 2;
  }

  get slices() {
    return this.scan ? this.scan.dimsRAS[this.axis + 1] : 1;
  }

  get slice() {
    return Math.min(this.slices, Math.floor(this.#nv.scene.crosshairPos[this.axis] * this.slices) + 1);
  }

  set slice(number) {
    const place = [...this.#nv.scene.crosshairPos];
    place[this.axis] = (number - 0.5) / this.slices;
    this.#place(place);
  }

  #place(shares) {
    this.#nv.scene.crosshairPos = [...shares];
    this.#nv.createOnLocationChange();
    this.#nv.drawScene();
  }

  #moved({ mm, values }) {
    const name = (mask, value) => mask?.labels.find((label) => label.value === Math.round(value))?.name;
    const labels = values.slice(1).map(({ value }, at) => this.#shown[at]?.on && name(this.#shown[at], value));
    const [x, y, z] = mm;
    const sides = [x < 0 ? "L" : "R", y < 0 ? "P" : "A", z < 0 ? "I" : "S"];
    const place = [x, y, z].map((at, axis) => `${sides[axis]} ${Math.abs(at).toFixed(1)}`).join(", ");
    const value = values[0] ? `value ${Number(values[0].value.toPrecision(5))}` : "";
    this.where = [`${place} mm`, value, ...labels].filter(Boolean).join("; ");
    this.onchange();
  }
};

// A file as NiiVue's image.
segline.read = async (file) => {
  try {
    return await niivue.NVImage.loadFromFile({ file, trustCalMinMax: false });
  } catch {
    throw new Error(`${file.name} cannot be shown: no volume that this viewer reads`);
  }
};
