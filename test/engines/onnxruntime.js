// Runs networks in ONNX Runtime, on one thread, for the tests and benches of bsq-onnx.
//
//     node onnxruntime.js PACKAGES check PACKAGE NETWORK...      loads each and runs it once on numbers from a generator
//     node onnxruntime.js PACKAGES run NETWORK                   float32 samples on stdin become outputs on stdout, in order
//     node onnxruntime.js PACKAGES operators NETWORK...          of the optimized graphs
//     node onnxruntime.js PACKAGES time RUNS FLOAT NETWORK...    times in turn, with the operators of the optimized graphs
//
// PACKAGES is the folder node_modules that `make deps-engines` fills, PACKAGE one of them. Results are one line of JSON;
// what ONNX Runtime has to say about a network goes to stderr.
'use strict';

const fs = require('fs');
const os = require('os');
const path = require('path');

const [packages, command, ...words] = process.argv.slice(2);
const load = (name) => require(path.join(path.resolve(packages), name));
const WARNINGS_TOO = 2; // severity from which on ONNX Runtime logs
const options = {intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: 'sequential', logSeverityLevel: WARNINGS_TOO};

// Static shape of the only input. Older packages do not tell: it is read from the file.
function inputShape(session, network) {
    const known = session.inputMetadata && session.inputMetadata[0];
    return known ? known.shape.map(Number) : graphInput(fs.readFileSync(network)).shape;
}

// ---- the few fields of an ONNX file (protobuf) that are looked at ----

function* fields(bytes) {
    let at = 0;
    const varint = () => {
        let value = 0, factor = 1;
        for (;;) {
            const byte = bytes[at++];
            value += (byte & 127) * factor;
            factor *= 128;
            if (byte < 128) return value;
        }
    };
    while (at < bytes.length) {
        const key = varint(), number = Math.floor(key / 8), kind = key % 8;
        if (kind === 0) yield [number, varint()];
        else if (kind === 1) { yield [number, bytes.subarray(at, at + 8)]; at += 8; }
        else if (kind === 5) { yield [number, bytes.subarray(at, at + 4)]; at += 4; }
        else { const size = varint(); yield [number, bytes.subarray(at, at + size)]; at += size; }
    }
}

const all = (bytes, number) => [...fields(bytes)].filter(([n]) => n === number).map(([, value]) => value);
const one = (bytes, number) => all(bytes, number)[0];

// ModelProto 7 graph; GraphProto 1 node, 11 input; NodeProto 4 op_type; ValueInfoProto 1 name, 2 type; TypeProto 1 tensor;
// its 2 shape; TensorShapeProto 1 dim; its 1 value.
function graphInput(bytes) {
    const info = one(one(bytes, 7), 11);
    const shape = one(one(one(info, 2), 1), 2);
    return {name: String(one(info, 1)), shape: all(shape, 1).map((dim) => one(dim, 1))};
}

function operators(network) {
    const counts = {};
    for (const node of all(one(fs.readFileSync(network), 7), 1)) {
        const op = String(one(node, 4));
        counts[op] = (counts[op] || 0) + 1;
    }
    return counts;
}

// ---- the commands ----

function numbers(count) {
    const values = new Float32Array(count);
    let state = 1;
    for (let i = 0; i < count; i++) {
        state = (state * 1103515245 + 12345) % 2147483648;
        values[i] = state / 1073741824 - 1;
    }
    return values;
}

const size = (shape) => shape.reduce((product, extent) => product * extent, 1);

async function check(packageName, networks) {
    const web = packageName === 'onnxruntime-web';
    const ort = load(packageName);
    if (web) ort.env.wasm.numThreads = 1;
    const results = {};
    for (const network of networks) {
        const session = await ort.InferenceSession.create(web ? fs.readFileSync(network) : network,
            web ? {executionProviders: ['wasm'], logSeverityLevel: WARNINGS_TOO} : options);
        const shape = graphInput(fs.readFileSync(network)).shape;
        const outputs = await session.run({[session.inputNames[0]]: new ort.Tensor('float32', numbers(size(shape)), shape)});
        results[network] = session.outputNames.map((name) => Array.from(outputs[name].data.slice(0, 8)));
        if (!web) await session.release?.();
    }
    console.log(JSON.stringify(results));
}

function readExactly(bytes) {
    let at = 0;
    while (at < bytes.length) {
        let got = 0;
        try {
            got = fs.readSync(0, bytes, at, bytes.length - at, null);
        } catch (error) {
            if (error.code !== 'EAGAIN') throw error;
            continue;
        }
        if (got === 0) break;
        at += got;
    }
    if (at > 0 && at < bytes.length) throw new Error('half a sample on stdin');
    return at > 0;
}

function writeAll(bytes) {
    for (let at = 0; at < bytes.length;) {
        try {
            at += fs.writeSync(1, bytes, at);
        } catch (error) {
            if (error.code !== 'EAGAIN') throw error;
        }
    }
}

async function run(network) {
    const ort = load('onnxruntime-node');
    const session = await ort.InferenceSession.create(network, options);
    const shape = inputShape(session, network);
    const input = new Float32Array(size(shape));
    while (readExactly(new Uint8Array(input.buffer))) {
        const outputs = await session.run({[session.inputNames[0]]: new ort.Tensor('float32', input, shape)});
        for (const name of session.outputNames) {
            const data = outputs[name].data;
            writeAll(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
        }
    }
}

// How many of each operator the graph has after ONNX Runtime's optimization.
async function optimizedOperators(network) {
    const ort = load('onnxruntime-node');
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'bsq-engine-')), optimized = path.join(folder, 'optimized.onnx');
    const session = await ort.InferenceSession.create(network, {...options, logSeverityLevel: 3, optimizedModelFilePath: optimized});
    await session.release();
    const counts = operators(optimized);
    fs.rmSync(folder, {recursive: true});
    return counts;
}

// Each network runs once in each turn, so that a busy machine slows all of them. Times are those of the processor, which
// do not count how long the only thread waits for one: of each network the least tenth, the runs whose caches others left
// alone, and the quotient with the first network's.
// `best` is the least time on the clock, `clock_ratio` the median over turns of such times divided by the first network's.
async function time(runs, networks) {
    const ort = load('onnxruntime-node');
    const sessions = [];
    for (const network of networks) {
        const session = await ort.InferenceSession.create(network, options);
        const shape = inputShape(session, network);
        sessions.push({network, session, operators: await optimizedOperators(network), times: [], cpu: [],
            feeds: {[session.inputNames[0]]: new ort.Tensor('float32', numbers(size(shape)), shape)}});
    }
    for (let turn = -2; turn < runs; turn++)
        for (const one of sessions) {
            const start = process.hrtime.bigint(), cpu = process.cpuUsage();
            await one.session.run(one.feeds);
            const used = process.cpuUsage(cpu);
            if (turn < 0) continue;
            one.times.push(Number(process.hrtime.bigint() - start) / 1e6);
            one.cpu.push((used.user + used.system) / 1e3);
        }
    const quantile = (values, share) => [...values].sort((a, b) => a - b)[Math.floor(values.length * share)];
    const low = (values) => quantile(values, 0.1);
    console.log(JSON.stringify(sessions.map((one) => ({
        network: one.network, operators: one.operators, best: Math.min(...one.times),
        processor: low(one.cpu), ratio: low(one.cpu) / low(sessions[0].cpu),
        clock_ratio: quantile(one.times.map((ms, turn) => ms / sessions[0].times[turn]), 0.5)}))));
}

const commands = {
    check: () => check(words[0], words.slice(1)),
    run: () => run(words[0]),
    operators: async () => {
        const counts = {};
        for (const network of words) counts[network] = await optimizedOperators(network);
        console.log(JSON.stringify(counts));
    },
    time: () => time(Number(words[0]), words.slice(1)),
};
commands[command]().then(() => process.exit(0), (error) => {
    console.error(`${command}: ${error.message || error}`);
    process.exit(1);
});
