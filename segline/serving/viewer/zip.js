// Files as one zip, stored as they are: how a DICOM series goes to the server.
"use strict";

segline.zip = async (files) => {
  const parts = [], directory = [];
  let offset = 0;
  for (const [number, file] of files.entries()) {
    // names may tell of the patient, and the server needs none
    const name = new TextEncoder().encode(`${number}.dcm`);
    const bytes = new Uint8Array(await file.arrayBuffer());
    const facts = segline.zipFacts(segline.crc32(bytes), bytes.length, name.length);
    const head = segline.littleEndian([[4, 0x04034b50], ...facts]);
    // made by 2.0; no comment; first disk; no attributes
    const entry = [[4, 0x02014b50], [2, 20], ...facts, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]];
    parts.push(head, name, bytes);
    directory.push(segline.littleEndian(entry), name);
    offset += head.length + name.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const count = files.length;
  if (count > 65535 || offset + size > 0xffffffff) throw new Error("more than 65535 files or 4 GB; send a zip");
  const end = [[4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, size], [4, offset], [2, 0]];
  return new Blob([...parts, ...directory, segline.littleEndian(end)]);
};

// Version 2.0, no flags, stored, midnight of the first day that zips know, ... no extra field.
segline.zipFacts = (crc, size, nameLength) => [
  [2, 20], [2, 0], [2, 0], [2, 0], [2, 0x21], [4, crc], [4, size], [4, size], [2, nameLength], [2, 0],
];

segline.littleEndian = (fields) => {
  const bytes = [];
  for (const [length, value] of fields) for (let at = 0; at < length; at++) bytes.push((value >>> (8 * at)) & 0xff);
  return new Uint8Array(bytes);
};

segline.crc32 = (bytes) => {
  segline.crcTable ||= Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    return value;
  });
  let crc = 0xffffffff;
  for (const byte of bytes) crc = segline.crcTable[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
};
