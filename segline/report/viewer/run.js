// viewer.html: cases of a run, with truth, prediction and error over each in turn.
"use strict";

segline.OVERLAYS = { truth: "Truth", prediction: "Prediction", errors: "Errors", none: "None" };

segline.Run = class {
  #told = JSON.parse(document.getElementById("cases").textContent);
  #scene;
  #controls;
  #number = 0;
  #overlay = "prediction";
  #list = segline.make("ul", { className: "labels", id: "labels" });
  #about = segline.make("div", { id: "about", ariaLive: "polite" });

  static async start() {
    const run = new segline.Run();
    run.#fill();
    try {
      run.#scene = await segline.Scene.on(document.getElementById("canvas"));
    } catch {
      run.#say("This browser has no WebGL 2, which volumes are drawn with.");
      return;
    }
    const controls = segline.make("div");
    run.#controls = new segline.Controls(run.#scene, document.getElementById("bar"), controls);
    document.getElementById("panel").append(controls);
    await run.#show(run.#told.cases.findIndex((_, at) => run.#has(at)));
  }

  #fill() {
    const cases = this.#told.cases.map(({ title }, at) => [at, title.replace(" test case", "")]);
    const others = Object.entries(segline.OVERLAYS);
    document.getElementById("panel").append(
      this.#choice("case", "Test case", cases, 0, (at) => this.#show(Number(at))),
      this.#about,
      this.#choice("overlay", "Over the image", others, this.#overlay, (name) => this.#cover(name)),
      this.#list,
    );
  }

  #choice(name, legend, options, chosen, act) {
    const { make } = segline;
    const labels = options.map(([value, title]) => make("label", {},
      make("input", { type: "radio", name, value, checked: value === chosen, onchange: () => act(value) }),
      make("span", {}, title)));
    return make("fieldset", { className: "choice" }, make("legend", {}, legend), ...labels);
  }

  #has(number) {
    return Boolean(document.getElementById(`file-${number}-image`));
  }

  #file(name) {
    const text = atob(document.getElementById(`file-${this.#number}-${name}`).textContent);
    return new File([Uint8Array.from(text, (letter) => letter.charCodeAt(0))], `${name}.nii.gz`);
  }

  async #show(number) {
    this.#number = number;
    const chosen = document.querySelector(`input[name=case][value="${number}"]`);
    chosen.checked = true;
    const { title, case: name, figure, note, missing, range } = this.#told.cases[number];
    this.#say(`${title}: ${name}, ${figure}.`, missing || (note && `To keep this page small: ${note}.`));
    if (!this.#has(number)) {
      this.#scene.clear();
      this.#list.replaceChildren();
      return;
    }
    await this.#scene.open(this.#file("image"), range);
    this.#controls.opened();
    await this.#cover(this.#overlay, true);
  }

  async #cover(name, centred = false) {
    for (const other of Object.keys(segline.OVERLAYS)) this.#scene.uncover(other);
    this.#overlay = name;
    if (!this.#has(this.#number) || name === "none") {
      this.#list.replaceChildren();
      this.#scene.draw();
      return;
    }
    const labels = name === "errors" ? this.#told.errors : this.#told.labels;
    await this.#scene.cover(name, this.#file(name), labels);
    if (centred) this.#scene.centre(name);
    this.#list.replaceChildren(...segline.labelRows(this.#scene, [name], labels));
  }

  #say(...lines) {
    this.#about.replaceChildren(...lines.filter(Boolean).map((line) => segline.make("p", {}, line)));
  }
};

segline.Run.start();
