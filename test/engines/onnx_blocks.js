// Formats for ONNX, judged by ONNX Runtime: each packed tensor becomes a network of one operator, DequantizeLinear or
// MatMulNBits, whose weights must be those that the library says.
//
//     node onnx_blocks.js ENGINES CASES      what test/engines/write_cases wrote
'use strict';

const fs = require('fs');
const path = require('path');

const [engines, cases] = process.argv.slice(2);
const ort = require(path.join(path.resolve(engines), 'node_modules', 'onnxruntime-node'));

// Sessions are slow to make: of the thousands of tensors every so many are taken, all bits among them.
const EVERY = 11;

// ---- protocol buffers ----

function varint(value) {
    const bytes = [];
    let rest = BigInt(value);
    do {
        const low = Number(rest & 127n);
        rest >>= 7n;
        bytes.push(rest ? low | 128 : low);
    } while (rest);
    return Buffer.from(bytes);
}

const integer = (field, value) => Buffer.concat([varint(field << 3), varint(value)]);

function text(field, ...parts) {
    const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
    return Buffer.concat([varint(field << 3 | 2), varint(body.length), body]);
}

// ---- networks (onnx.proto) ----

// BSQ_ELEMENT_TYPE_... to TensorProto.DataType
const FLOAT = 1;
const TYPES = {1601: 3, 1602: 2, 1611: 22, 1612: 21, 1613: 26, 1614: 25, 1621: FLOAT, 1622: 10, 1623: 16};

const tensor = (name, type, shape, bytes) => text(5, ...shape.map((extent) => integer(1, extent)), integer(2, type),
    text(8, name), text(9, bytes));
const attribute = (name, value) => text(5, text(1, name), integer(3, value), integer(20, 2));
const node = (type, inputs, output, domain, attributes) => text(1, ...inputs.map((input) => text(1, input)),
    text(2, output), text(4, type), ...Object.entries(attributes).map(([name, value]) => attribute(name, value)),
    text(7, domain));
const value = (field, name, shape) => text(field, text(1, name), text(2, text(1, integer(1, FLOAT),
    text(2, ...shape.map((extent) => text(1, integer(1, extent)))))));

function model(opset, graph) {
    return Buffer.concat([integer(1, opset > 24 ? 13 : 10), text(8, integer(2, opset)),
        text(8, text(1, 'com.microsoft'), integer(2, 1)), text(7, text(2, 'blocks'), ...graph)]);
}

// The parts as constants; scales of 16 bits go through a Cast, so that the operator works in float32.
function constants(example, scales) {
    const graph = [];
    for (const [name, part] of Object.entries(example.parts)) {
        const bytes = example.packed.subarray(part.offset, part.offset + part.size);
        const short = name === scales && TYPES[part.type] !== FLOAT;
        graph.push(tensor(short ? `${name}_16` : name, TYPES[part.type], part.shape, bytes));
        if (short) graph.push(node('Cast', [`${name}_16`], name, '', {to: FLOAT}));
    }
    return graph;
}

function dequantizeLinear(example) {
    const inputs = ['x', 'x_scale'];
    const attributes = {axis: 0};
    if ('x_zero_point' in example.parts) inputs.push('x_zero_point');
    if (example.parts.x_scale.shape.length === 2) Object.assign(attributes, {axis: 1, block_size: example.group_size});
    const opset = example.format.includes('int2') ? 25 : 21;
    return model(opset, [...constants(example, 'x_scale'), node('DequantizeLinear', inputs, 'y', '', attributes),
        value(12, 'y', [example.channels, example.fan_in])]);
}

// The unit matrix times the weights: a row of the result for each input.
function matMulNBits(example) {
    const inputs = ['A', 'B', 'scales'];
    if ('zero_points' in example.parts) inputs.push('zero_points');
    const attributes = {K: example.fan_in, N: example.channels, bits: example.bits, block_size: example.group_size,
        accuracy_level: 1};
    return model(21, [...constants(example, 'scales'), node('MatMulNBits', inputs, 'y', 'com.microsoft', attributes),
        value(11, 'A', [example.fan_in, example.fan_in]), value(12, 'y', [example.fan_in, example.channels])]);
}

// ---- cases ----

function* examples(file) {
    const bytes = fs.readFileSync(file);
    for (let at = 0; at < bytes.length;) {
        const end = bytes.indexOf(10, at);
        const example = JSON.parse(bytes.toString('utf8', at, end));
        const count = example.channels * example.fan_in;
        at = end + 1;
        example.packed = bytes.subarray(at, at + example.size);
        at += example.size;
        example.weights = new Float32Array(Uint8Array.prototype.slice.call(bytes, at, at + 4 * count).buffer);
        at += 4 * count;
        yield example;
    }
}

function unit(n) {
    const matrix = new Float32Array(n * n);
    for (let i = 0; i < n; i++) matrix[i * n + i] = 1;
    return new ort.Tensor('float32', matrix, [n, n]);
}

// MatMulNBits may take the zero point times the scale off what it sums: two roundings of numbers of that size.
function differs(example, read) {
    const {channels, fan_in: n, weights} = example;
    const product = example.format === 'onnx_matmul_nbits';
    for (let o = 0; o < channels; o++) {
        let largest = 0;
        for (let k = 0; k < n; k++) largest = Math.max(largest, Math.abs(weights[o * n + k]));
        for (let k = 0; k < n; k++) {
            const other = product ? read[k * channels + o] : read[o * n + k];
            const room = product ? 2 ** -22 * 2 ** example.bits * largest : 0;
            if (!(Math.abs(other - weights[o * n + k]) <= room)) return `weight (${o}, ${k}) is ${other}, not ${weights[o * n + k]}`;
        }
    }
    return null;
}

async function run(example) {
    const product = example.format === 'onnx_matmul_nbits';
    const network = product ? matMulNBits(example) : dequantizeLinear(example);
    const session = await ort.InferenceSession.create(network, {graphOptimizationLevel: 'disabled', intraOpNumThreads: 1,
        logSeverityLevel: 4});
    const outputs = await session.run(product ? {A: unit(example.fan_in)} : {});
    const wrong = differs(example, outputs.y.data);
    await session.release?.();
    return wrong;
}

(async () => {
    let passed = 0;
    let failed = 0;
    let skipped = 0;
    const unknown = {};
    for (const name of fs.readdirSync(cases).filter((file) => file.startsWith('onnx_')).sort()) {
        let index = 0;
        for (const example of examples(path.join(cases, name))) {
            if (index++ % EVERY !== 0) continue;
            const what = `${example.format}, ${example.bits} bits, grid ${example.grid}, ${example.channels} x ${example.fan_in}, `
                + `groups of ${example.group_size}`;
            try {
                const wrong = await run(example);
                if (wrong) console.log(`failed: ${what}: ${wrong}`);
                if (wrong) failed++; else passed++;
            } catch (error) {
                // An operator that this version has not for a type is no fault of ours, but is named.
                if (/NOT_IMPLEMENTED|not implemented|Could not find an implementation/i.test(error.message)) {
                    skipped++;
                    unknown[example.format] = error.message;
                } else {
                    failed++;
                    console.log(`failed: ${what}: ${error.message}`);
                }
            }
        }
    }
    for (const [format, message] of Object.entries(unknown)) console.log(`skipped: ${format}: ${message}`);
    console.log(`onnx_blocks: ${passed} passed, ${failed} failed, ${skipped} skipped`);
    process.exit(failed || !passed ? 1 : 0);
})();
