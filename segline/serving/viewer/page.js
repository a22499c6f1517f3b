// The server's page: drop a scan, look at it, have it predicted, see the answer over it.
"use strict";

segline.Page = class {
  #scene;
  #controls;
  #models = [];
  #opened = null; // {files, dicom}
  #running = null; // AbortController of a prediction

  static async start() {
    const page = new segline.Page();
    page.#listen();
    await Promise.all([page.#connect(), page.#draw()]);
  }

  async #draw() {
    try {
      this.#scene = await segline.Scene.on(this.#at("canvas"));
      this.#controls = new segline.Controls(this.#scene, this.#at("bar"), this.#at("controls"));
    } catch {
      this.#scene = null;
      this.#fail(new Error("this browser has no WebGL 2, which volumes are drawn with; masks can still be downloaded"));
    }
  }

  async #connect() {
    try {
      this.#models = await segline.models();
      const options = this.#models.map(({ name, version }) =>
        segline.make("option", { value: name }, version && version !== name ? `${name} (${version})` : name));
      this.#at("model").replaceChildren(...options);
      this.#at("choose-model").hidden = options.length < 2;
      this.#modelChosen();
    } catch (error) {
      this.#fail(error);
      if ([401, 403].includes(error.status)) this.#at("access").open = true;
    }
  }

  #listen() {
    const open = async (files) => { if (files.length) await this.#guard(() => this.#open(files)); };
    for (const id of ["files", "folder"]) {
      this.#at(id).onchange = async () => {
        await open([...this.#at(id).files]);
        this.#at(id).value = ""; // so that the same file can be chosen again
      };
    }
    document.ondragover = (event) => {
      event.preventDefault();
      document.body.classList.add("dropping");
    };
    document.ondragleave = (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); };
    document.ondrop = async (event) => {
      event.preventDefault();
      document.body.classList.remove("dropping");
      await this.#guard(async () => open(await segline.dropped(event.dataTransfer)));
    };
    this.#at("model").onchange = () => this.#modelChosen();
    this.#at("send").onclick = () => this.#guard(() => this.#predict());
    this.#at("cancel").onclick = () => this.#running?.abort();
    this.#at("key").value = sessionStorage.getItem(segline.KEY) || "";
    this.#at("key").onchange = () => {
      sessionStorage.setItem(segline.KEY, this.#at("key").value.trim());
      this.#fail(null);
      this.#connect();
    };
    this.#at("canvas").onkeydown = (event) => this.#keyed(event);
  }

  // Up and down move through the slices of the plane that the slider is for.
  #keyed(event) {
    const step = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
    if (!step || !this.#scene?.scan) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    this.#scene.slice = Math.min(this.#scene.slices, Math.max(1, this.#scene.slice + step));
    this.#controls.update();
  }

  get #model() {
    return this.#models.find(({ name }) => name === this.#at("model").value);
  }

  #modelChosen() {
    const model = this.#model;
    if (!model) return;
    const { version, name, channels = [], task = "" } = model;
    this.#at("about").textContent = [`Model ${version || name}`, task, channels.join(", ")].filter(Boolean).join(" · ");
    this.#assign();
  }

  async #open(dropped) {
    this.#running?.abort();
    this.#fail(null);
    const opened = await segline.sorted(dropped);
    this.#opened = opened;
    this.#forget();
    this.#assign();
    const { files, dicom } = opened;
    const named = files.length > 1 ? `${files.length} files` : files[0].name;
    this.#at("opened").textContent = dicom ? `${named}: DICOM, shown when the server has read it` : named;
    this.#scene?.clear();
    this.#controlled(false);
    this.#at("invitation").hidden = true;
    if (!dicom) await this.#show(files[0]);
    else this.#scene?.draw();
  }

  async #show(file) {
    if (!this.#scene) return;
    await this.#scene.open(file);
    this.#controls.opened();
    this.#controlled(true);
  }

  #controlled(on) {
    for (const id of ["bar", "controls"]) this.#at(id).hidden = !on;
  }

  // Of a model with several channels that come as several files: which is which.
  #assign() {
    const { channels = [] } = this.#model || {}, { files = [], dicom } = this.#opened || {};
    const several = !dicom && files.length > 1;
    const fits = files.length > 0 && (!several || files.length === channels.length);
    this.#at("send").disabled = !fits || Boolean(this.#running);
    this.#at("assigned").hidden = !several;
    if (!several) return;
    const wrong = `${files.length} files, but the model takes ${channels.length === 1 ? "one" : channels.length}`;
    const places = channels.map((channel, at) => this.#place(channel, files, segline.guess(channel, at, files)));
    this.#at("assigned").replaceChildren(...(fits ? places : [segline.make("p", { className: "error" }, wrong)]));
  }

  #place(channel, files, chosen) {
    const { make } = segline;
    const options = files.map(({ name }, at) => make("option", { value: at, selected: at === chosen }, name));
    const select = make("select", { onchange: () => this.#guard(() => this.#show(files[select.value])) }, ...options);
    return make("label", {}, channel, select);
  }

  #inOrder() {
    const { files, dicom } = this.#opened;
    const selects = this.#at("assigned").hidden ? [] : [...this.#at("assigned").querySelectorAll("select")];
    if (!selects.length) return { files, dicom };
    if (new Set(selects.map(({ value }) => value)).size < selects.length) throw new Error("one file is chosen for two channels");
    return { files: selects.map(({ value }) => files[value]), dicom };
  }

  async #predict() {
    const ordered = this.#inOrder(), opened = this.#opened, model = this.#model, running = new AbortController();
    this.#running = running;
    this.#forget();
    this.#busy(true);
    try {
      this.#tell("sending");
      const upload = await segline.upload(ordered);
      const told = (state, share) => this.#tell(state, share);
      const job = await segline.predict(upload, this.#models.length > 1 && model?.name, running.signal, told);
      await this.#answered(job, opened, model, running.signal);
    } catch (error) {
      if (!running.signal.aborted) throw error;
      if (opened === this.#opened) this.#tell("cancelled");
    } finally {
      if (this.#running === running) {
        this.#running = null;
        this.#busy(false);
      }
    }
  }

  async #answered({ id, answer }, opened, model, signal) {
    const stem = opened.dicom ? "series" : segline.stem(opened.files[0].name);
    let mask = null;
    if (!answer.class) {
      this.#tell("fetching the mask");
      mask = await segline.fetched(id, "mask", `${stem}_mask.nii.gz`, signal);
      const volume = opened.dicom && (await segline.fetched(id, "volume", `${stem}.nii.gz`, signal));
      if (volume) await this.#show(volume);
    }
    const labels = segline.labelsOf(model);
    if (mask && this.#scene?.scan) {
      await this.#scene.cover(segline.MASK, mask, labels);
      this.#scene.centre(segline.MASK);
    }
    this.#at("answer").replaceChildren(...segline.answerParts(this.#scene, answer, labels, mask));
    this.#at("answer").hidden = false;
    this.#tell("done");
  }

  #busy(on) {
    this.#at("cancel").hidden = !on;
    this.#at("progress").hidden = !on;
    if (on) this.#at("send").disabled = true;
    else this.#assign();
  }

  #tell(state, share) {
    const percent = share ? ` ${Math.round(100 * share)} %` : "";
    this.#at("state").textContent = `${state.charAt(0).toUpperCase()}${state.slice(1)}${percent}`;
    if (share === undefined) this.#at("progress").removeAttribute("value");
    else this.#at("progress").value = share;
  }

  #forget() {
    const link = this.#at("answer").querySelector("#download");
    if (link) URL.revokeObjectURL(link.href);
    this.#scene?.uncover(segline.MASK);
    if (this.#scene?.scan) this.#scene.draw();
    this.#at("answer").replaceChildren();
    this.#at("answer").hidden = true;
    this.#at("state").textContent = "";
    this.#fail(null);
  }

  async #guard(act) {
    try {
      await act();
    } catch (error) {
      this.#at("state").textContent = "";
      this.#fail(error);
      if ([401, 403].includes(error.status)) this.#at("access").open = true;
    }
  }

  #fail(error) {
    this.#at("error").hidden = !error;
    this.#at("error").textContent = error ? error.message : "";
  }

  #at(id) {
    return document.getElementById(id);
  }
};

segline.stem = (name) => name.slice(0, name.length - segline.suffixOf(name).length) || name;

// The file that is named after a channel; else those in order.
segline.guess = (channel, at, files) => {
  const found = files.findIndex(({ name }) => name.toLowerCase().includes(channel.toLowerCase()));
  return found < 0 ? at : found;
};

segline.Page.start();
