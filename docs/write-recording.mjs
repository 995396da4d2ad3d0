// Writes a recording of sdrt without sdrt: node docs/write-recording.mjs run.sdrt   (node 20.15 or newer, and nothing else)
import { createHash } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";

const file = openSync(process.argv[2], "w"), whole = createHash("sha256"), directory = [], entries = {};
let at = 0, numEvents = 0;
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const json = (value) => Buffer.from(JSON.stringify(value));
const numbers = (...pairs) => Buffer.concat(pairs.map(([size, value]) => { const b = Buffer.alloc(size); b.writeUIntLE(value, 0, size); return b; }));
const write = (bytes) => { writeSync(file, bytes); whole.update(bytes); at += bytes.length; };

function add(name, bytes, about = {}) { // one stored entry: its header, its bytes, and its line of the directory for later
  const facts = [[2, 20], [2, 0], [2, 0], [2, 0], [2, 0x21], [4, crc32(bytes)], [4, bytes.length], [4, bytes.length], [2, name.length], [2, 0]];
  directory.push(numbers([4, 0x02014b50], [2, 20], ...facts, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]), Buffer.from(name));
  write(Buffer.concat([numbers([4, 0x04034b50], ...facts), Buffer.from(name), bytes]));
  entries[name] = { size: bytes.length, sha256: sha256(bytes), ...about };
}

function event(kind, step, component, arrays, values) { // its arrays as safetensors, then what it is as JSON
  const name = `events/${String(numEvents++).padStart(6, "0")}`, header = {}, specs = {}, data = []; let begin = 0;
  for (const [key, { shape, values }] of Object.entries(arrays)) {
    const bytes = Buffer.from(Float32Array.from(values).buffer), end = begin + bytes.length;
    header[key] = { dtype: "F32", shape, data_offsets: [begin, end] };
    specs[key] = { dtype: "float32", shape, sha256: sha256(bytes), entry: `${name}.safetensors`, key };
    begin = end; data.push(bytes);
  }
  const text = json(header);
  add(`${name}.safetensors`, Buffer.concat([numbers([4, text.length], [4, 0]), text, ...data]));
  add(`${name}.json`, json({ kind, run: 0, step, component, arrays: specs, values }), { kind, run: 0, step, component });
}

add("recording.json", json({ format: "sdrt recording", version: 1, keep: "all", writer: { name: "write-recording.mjs", version: "1" } }));
event("begin", null, null, { noise: { shape: [1, 4, 1, 1], values: [0.1, -1.2, 0.5, 2] } }, { settings: null, num_calls: 1 });
const sample = { shape: [1, 4, 1, 1], values: [0.1, -1.2, 0.5, 2] }, predicted = { shape: [1, 4, 1, 1], values: [0.2, -1, 0.4, 1.5] };
event("network", 0, "unet", { "input.sample": sample, "input.timestep": { shape: [1], values: [999] }, "output.noise_pred": predicted }, {});
event("step", 0, null, { "before.x": sample, output: predicted, "after.x": { shape: [1, 4, 1, 1], values: [0, -0.1, 0.1, 0.3] } }, { timestep: 999 });
event("end", null, null, { latents: { shape: [1, 4, 1, 1], values: [0, -0.1, 0.1, 0.3] } }, { outcome: "finished" });
add("index.json", json({ num_events: numEvents, entries }));
const lines = Buffer.concat(directory), count = Object.keys(entries).length;
write(Buffer.concat([lines, numbers([4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, lines.length], [4, at], [2, 64])]));
writeSync(file, whole.digest("hex")); // the SHA-256 of all bytes before it
closeSync(file);
