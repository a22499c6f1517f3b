// What was dropped or chosen: volumes that this page can show, or DICOM, which the server reads first.
"use strict";

segline.SUFFIXES = [".nii.gz", ".nii", ".nrrd", ".mha", ".mgz", ".mgh", ".zip", ".png", ".jpg", ".jpeg"];

segline.suffixOf = (name) => segline.SUFFIXES.find((suffix) => name.toLowerCase().endsWith(suffix)) || "";

// A DICOM file says so behind its first 128 bytes.
segline.isDicom = async (file) =>
  /\.(dcm|ima)$/i.test(file.name) || (await file.slice(128, 132).text()) === "DICM";

// {files, dicom}: what is to be sent, and whether the server must read it before it can be shown.
segline.sorted = async (dropped) => {
  const files = dropped.filter((file) => file.size && !file.name.startsWith(".") && file.name !== "DICOMDIR");
  if (!files.length) throw new Error("no file was found in what was dropped");
  if (files.length === 1 && segline.suffixOf(files[0].name) === ".zip") return { files, dicom: true };
  const dicom = await Promise.all(files.map(segline.isDicom));
  if (dicom.some(Boolean)) return { files: files.filter((_, at) => dicom[at]), dicom: true };
  const unknown = files.find((file) => !segline.suffixOf(file.name));
  if (unknown) throw new Error(`${unknown.name}: neither DICOM nor one of ${segline.SUFFIXES.join(", ")}`);
  return { files: files.sort((one, other) => one.name.localeCompare(other.name)), dicom: false };
};

// All files of a drop, those of folders too.
segline.dropped = async (transfer) => {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  return (await Promise.all(entries.map(segline.walk))).flat();
};

segline.walk = async (entry) => {
  if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
  const reader = entry.createReader(), found = [];
  for (;;) {
    // a reader gives a hundred at a time
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return found.flat();
    found.push(...(await Promise.all(some.map(segline.walk))));
  }
};

// What is sent: {body, headers}. Files are named by what they are; their own names may tell of a patient.
segline.upload = async ({ files, dicom }) => {
  const [first] = files, suffix = segline.suffixOf(first.name);
  if (dicom && suffix !== ".zip") return segline.raw(await segline.zip(files), "series.zip");
  if (files.length === 1) return segline.raw(first, suffix === ".zip" ? "series.zip" : `volume${suffix}`);
  const body = new FormData();
  for (const [at, file] of files.entries()) body.append("file", file, `channel${at}${segline.suffixOf(file.name)}`);
  return { body, headers: {} };
};

segline.raw = (body, name) => {
  const type = name.endsWith(".zip") ? "application/zip" : "application/octet-stream";
  return { body, headers: { "X-Filename": name, "Content-Type": type } };
};
