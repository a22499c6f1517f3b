// What the server found: whether to trust it, volumes or probabilities, remarks, and what it was found with.
"use strict";

segline.MASK = "prediction";

// The labels of a model: [{value, name, colour}].
segline.labelsOf = (model) => Object.entries(model?.labels || {})
  .map(([value, name]) => ({ value: Number(value), name, colour: segline.colourOf(Number(value)) }))
  .filter(({ value }) => value > 0);

segline.answerParts = (scene, answer, labels, mask) => [
  segline.distrust(answer.trust),
  answer.class ? segline.classFound(answer) : null,
  answer.volumes_ml ? segline.volumesFound(scene, answer, labels) : null,
  mask ? segline.maskLink(mask) : null,
  segline.remarks(answer.remarks),
  segline.facts(answer),
].filter(Boolean);

segline.distrust = (trust) => {
  if (!trust || trust.trusted) return null;
  const { make } = segline;
  const reasons = (trust.reasons || []).map((reason) => make("li", {}, reason));
  return make("div", { className: "warning", id: "distrust", role: "alert" },
    make("strong", {}, "Do not trust this answer"),
    "The scan lies far from what the model learned from.", make("ul", {}, ...reasons));
};

segline.volumesFound = (scene, answer, labels) => {
  const { make } = segline;
  const rows = labels.map((label) => {
    const ml = answer.volumes_ml[label.name] ?? answer.volumes_ml[label.value];
    return { ...label, beside: ml === undefined ? "" : `${segline.rounded(ml)} ml` };
  });
  const nothing = answer.labelled_voxels === 0 ? make("p", {}, "Nothing was found.") : null;
  const list = make("ul", { className: "labels" }, ...segline.labelRows(scene, [segline.MASK], rows));
  return make("div", {}, make("h2", {}, "Found"), nothing, list);
};

segline.classFound = ({ class: found, probabilities = {} }) => {
  const { make } = segline;
  const ranked = Object.entries(probabilities).sort(([, one], [, other]) => other - one);
  const rows = ranked.flatMap(([name, share]) => [
    make("dt", {}, name), make("dd", {}, make("meter", { value: share })), make("dd", {}, `${(100 * share).toFixed(1)} %`),
  ]);
  return make("div", {}, make("h2", {}, `Class: ${found}`), make("dl", { className: "probabilities" }, ...rows));
};

segline.maskLink = (mask) => {
  const { make } = segline;
  const link = make("a", { href: URL.createObjectURL(mask), download: mask.name, id: "download" }, "Download the mask");
  return make("p", {}, link);
};

segline.remarks = (remarks) => {
  const { make } = segline;
  if (!remarks?.length) return null;
  const lines = remarks.map((remark) => make("li", {}, remark));
  return make("div", { className: "warning" }, make("strong", {}, "What looks odd"), make("ul", {}, ...lines));
};

segline.facts = ({ model, seconds = {}, trust }) => {
  const { make } = segline;
  const steps = Object.entries(seconds).map(([step, taken]) => [step, `${segline.rounded(taken)} s`]);
  const far = trust && trust.distance !== undefined ? [["distance from the training cases", segline.rounded(trust.distance)]] : [];
  const rows = [["model", model || "unknown"], ...far, ...steps];
  const list = rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, `${value}`)]);
  return make("details", {}, make("summary", {}, `By ${model || "an unnamed model"}`), make("dl", { className: "facts" }, ...list));
};

segline.rounded = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));
