// Holds a DDIM scheduler written in JavaScript against the vectors of sdrt: node docs/check-vectors.mjs FOLDER   (node 18 or newer, and nothing else)
import { readFileSync } from "node:fs";

const folder = process.argv[2];
const json = (name) => JSON.parse(readFileSync(`${folder}/${name}`, "utf8"));

function tensors(name) { // a safetensors file: the length of its header, the header, then the numbers
  const bytes = readFileSync(`${folder}/${name}`), size = Number(bytes.readBigUInt64LE(0)), arrays = {};
  const kinds = { F64: Float64Array, F32: Float32Array, I32: Int32Array, U8: Uint8Array };
  for (const [key, { dtype, shape, data_offsets: [begin, end] }] of Object.entries(JSON.parse(bytes.subarray(8, 8 + size)))) {
    if (key === "__metadata__") continue;
    arrays[key] = { shape, values: new kinds[dtype](Uint8Array.from(bytes.subarray(8 + size + begin, 8 + size + end)).buffer) };
  }
  return arrays;
}

function ddim(config, steps) { // the port under test: timesteps, and a step from x at call i
  const { num_train_timesteps: n, beta_start: first, beta_end: last, steps_offset: offset } = config, bars = [];
  for (let i = 0, product = 1; i < n; i++) {
    const beta = (Math.sqrt(first) + ((Math.sqrt(last) - Math.sqrt(first)) * i) / (n - 1)) ** 2;
    bars.push((product *= 1 - beta));
  }
  const stride = Math.floor(n / steps), timesteps = Array.from({ length: steps }, (_, i) => (steps - 1 - i) * stride + offset);
  const bar = (t) => (t >= 0 ? bars[t] : config.set_alpha_to_one ? 1 : bars[0]);
  const step = (x, output, i) => {
    const [now, next] = [bar(timesteps[i]), bar(timesteps[i] - stride)];
    return x.map((value, k) => {
      const x0 = (value - Math.sqrt(1 - now) * output[k]) / Math.sqrt(now);
      return Math.sqrt(next) * x0 + Math.sqrt(1 - next) * output[k];
    });
  };
  return { timesteps, step };
}

const same = (a, b) => a.length === b.length && a.every((value, i) => value === b[i]);
const error = (found, wanted) => Math.max(...found.map((value, i) => Math.abs(value - wanted[i]))) / Math.max(...wanted.map(Math.abs));

for (const row of json("schedules.json").filter((each) => each.sampler === "ddim")) {
  const ok = same(ddim(row.config, row.num_inference_steps).timesteps, row.timesteps);
  console.log(`${row.num_inference_steps} timesteps of ddim: ${ok ? "equal" : "other ones"}`);
  if (!ok) process.exitCode = 1;
}

const numbers = tensors("steps.safetensors"), run = json("steps.json").find((each) => each.sampler === "ddim");
const { config } = json("schedules.json").find((each) => each.sampler === "ddim");
const port = ddim(config, run.num_inference_steps), wanted = numbers[`${run.key}.float64`].values;
let x = Array.from(numbers.start.values), worst = 0;
for (let i = 0; i < run.calls; i++) {
  x = port.step(x, numbers[`output.${i}`].values, i);
  worst = Math.max(worst, error(x, Array.from(wanted.subarray(i * x.length, (i + 1) * x.length))));
}
console.log(`${run.calls} steps of ddim: off by ${worst.toExponential(1)} of the largest value`);
if (!(worst < 1e-9)) process.exitCode = 1;
