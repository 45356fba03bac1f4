import { create, toBinary } from '@bufbuild/protobuf';
import type { DecoderConfig } from '@edgedesk/models';
import { markInPlace, onnx } from '@edgedesk/tensor';
import { type AttentionStep, type LayerRows, writeSplitAttention } from './attention.js';
import { sortNodes } from './body-nodes.js';
import { writeChoice } from './choice.js';
import { loopName } from './loop-names.js';
import { Constants, NodeList, typed, untyped } from './node-list.js';
import { plainName, type PlainDecoder } from './plain-decoder.js';
import { samplerName } from './sampler.js';

/** `Range`, `Split` and `If` as written here mean the same from this opset on. */
const OPSET_FLOOR = 18n;

/**
 * Puts one ONNX Loop around a plain decoder, so that one call reads a prompt or yields several tokens, choice of tokens
 * included, and one session with one copy of the weights serves prompts, replies and scores.
 *
 * The first iteration takes all of `ids`; each later one takes the token just picked. A draft is verified by a call of
 * one iteration whose `ids` are the last token and the drafted ones and whose `rows` are all of them: it picks a token
 * behind each. A call is either of one iteration or of one id, since an iteration's rows are stacked.
 *
 * Softmax and sums run over `past` and `recent` in stretches. With the same border between the two, a row comes out the
 * same to the last bit, whether it is computed alone in an iteration or among others; so whoever ties the border to the
 * position gets the same text in one piece, in many, from verified drafts and from cached beginnings.
 */
export function putLoopAround(plain: PlainDecoder, config: DecoderConfig): Uint8Array<ArrayBuffer> {
  const { graph, model } = plain;
  const constants = new Constants();
  const { constant, body: nodes, frontier } = sortNodes(plain);
  const body = new NodeList('loop', constants);
  const step = writeStep(body, config);
  const recent = layers(config).map((layer) => ({
    key: `recent.${layer}.key.before`,
    value: `recent.${layer}.value.before`,
  }));

  const grown: LayerRows[] = [];
  const fresh: LayerRows[] = [];
  const wanted = new Map<string, string>();
  const cut = (value: string): string => {
    const known =
      wanted.get(value) ?? body.add('Gather', [value, loopName.rows], { attributes: { axis: 1 } });
    wanted.set(value, known);
    return known;
  };
  for (const node of nodes) {
    const layer = plain.attention.indexOf(node);
    if (layer >= 0) {
      const past = { key: loopName.past(layer, 'key'), value: loopName.past(layer, 'value') };
      const rows = writeSplitAttention(body, node, config, past, recent[layer]!, step);
      grown[layer] = rows.recent;
      fresh[layer] = rows.fresh;
    } else if (node.opType === 'Shape' && node.input[0] === plainName.mask) {
      body.add('Identity', [step.total], { outputs: [node.output[0]!] });
    } else if (frontier.readers.has(node)) {
      const input = node.input.map((x) => (frontier.values.has(x) ? cut(x) : x));
      body.nodes.push(create(onnx.NodeProtoSchema, { ...node, input }));
    } else {
      body.nodes.push(node);
    }
  }

  const logits = body.add('Reshape', [plainName.logits, constants.i64([-1, config.vocabSize])]);
  const { tokens, seen, scores } = writeChoice(body, logits, 'seen.before', config);
  const token = body.add('Gather', [tokens, constants.i64([-1])]);
  const ends = body.add('Cast', [body.add('Equal', [token, loopName.endIds])], { attributes: { to: 7 } });
  const goOn = body.add('Equal', [
    body.add('ReduceSum', [ends], { attributes: { keepdims: 0 } }),
    constants.i64Scalar(0),
  ]);

  const { INT64, FLOAT, BOOL } = onnx.TensorProto_DataType;
  const kv = [config.kvHeadCount, config.headDim] as const;
  const carried: Carried[] = [
    {
      before: typed(plainName.ids, INT64, [1, '']),
      first: loopName.ids,
      after: body.add('Reshape', [token, constants.i64([1, 1])]),
    },
    {
      before: typed('seen.before', BOOL, [config.vocabSize]),
      first: loopName.seen,
      after: seen,
    },
    ...scores.map((after, i) => ({
      before: typed(`${after}.before`, i === 1 ? INT64 : FLOAT, i === 2 ? ['', config.vocabSize] : ['']),
      first: i === 1 ? constants.i64([]) : constants.emptyF32(i === 2 ? [0, config.vocabSize] : [0]),
      after,
    })),
    ...layers(config).flatMap((layer) =>
      (['key', 'value'] as const).map((kind) => ({
        before: typed(recent[layer]![kind], FLOAT, ['', ...kv]),
        first: loopName.recent(layer, kind),
        after: grown[layer]![kind],
      })),
    ),
  ];
  const stacked = [tokens, ...layers(config).flatMap((layer) => [fresh[layer]!.key, fresh[layer]!.value])];

  const outer = new NodeList('outer', constants);
  // Weights stay out here too: a subgraph's own initializers would keep their file mapped beside the packed copies.
  outer.nodes.push(...constant);
  const bodyGraph = body.graph(
    [typed('iteration', INT64, []), typed('condition', BOOL, []), ...carried.map((c) => c.before)],
    [goOn, ...carried.map((c) => c.after), ...stacked.map((value) => body.add('Identity', [value]))].map(
      untyped,
    ),
  );
  const finals = outer.addMany(
    'Loop',
    [loopName.maxTokens, constants.bool(true, []), ...carried.map((c) => c.first)],
    carried.length + stacked.length,
    { attributes: { body: bodyGraph } },
  );
  const [logProbs, top1, fullRows] = finals.slice(2, 5) as [string, string, string];
  outer.add('Identity', [logProbs], { outputs: [loopName.logProbs] });
  outer.add('Identity', [top1], { outputs: [loopName.top1] });
  outer.add('Identity', [fullRows], { outputs: [loopName.fullRows] });
  const [picked, ...rowsAdded] = finals.slice(carried.length) as [string, ...string[]];
  outer.add('Reshape', [picked, constants.i64([-1])], { outputs: [loopName.tokens] });
  const added = outer.add('Concat', rowsAdded, { attributes: { axis: 0 } });
  outer.add('Reshape', [added, constants.i64([-1, ...kv])], { outputs: [loopName.added] });

  const looped = outer.graph(
    [
      typed(loopName.ids, INT64, [1, 'new']),
      typed(loopName.pastLength, INT64, [1]),
      typed(loopName.maxTokens, INT64, []),
      typed(loopName.endIds, INT64, ['ends']),
      typed(loopName.rows, INT64, ['rows']),
      typed(loopName.scoring, BOOL, []),
      typed(loopName.withRows, BOOL, []),
      typed(loopName.targets, INT64, ['rows']),
      typed(loopName.seen, BOOL, [config.vocabSize]),
      typed(samplerName.greedy, BOOL, []),
      typed(samplerName.ranked, BOOL, []),
      typed(samplerName.whole, BOOL, []),
      typed(samplerName.candidates, INT64, [1]),
      ...[samplerName.temperature, samplerName.topP, samplerName.minP, samplerName.penalty].map((name) =>
        typed(name, FLOAT, []),
      ),
      typed(samplerName.uniforms, FLOAT, ['tokens']),
      ...layers(config).flatMap((layer) =>
        (['key', 'value'] as const).flatMap((kind) => [
          typed(loopName.past(layer, kind), FLOAT, ['past', ...kv]),
          typed(loopName.recent(layer, kind), FLOAT, ['recent', ...kv]),
        ]),
      ),
    ],
    [
      typed(loopName.tokens, INT64, ['generated']),
      typed(loopName.added, FLOAT, ['added', ...kv]),
      typed(loopName.logProbs, FLOAT, ['scored']),
      typed(loopName.top1, INT64, ['scored']),
      typed(loopName.fullRows, FLOAT, ['full', config.vocabSize]),
    ],
    [...graph.initializer, ...constants.tensors],
  );
  markInPlace(looped);
  return toBinary(
    onnx.ModelProtoSchema,
    create(onnx.ModelProtoSchema, {
      irVersion: model.irVersion,
      producerName: 'edgedesk',
      opsetImport: model.opsetImport.map((o) =>
        o.domain === '' && o.version < OPSET_FLOOR ? { ...o, version: OPSET_FLOOR } : o,
      ),
      graph: looped,
    }),
  );
}

/** A value that goes from one iteration to the next. */
interface Carried {
  readonly before: onnx.ValueInfoProto;
  /** Its value before the first iteration. */
  readonly first: string;
  readonly after: string;
}

const layers = (config: DecoderConfig): number[] => Array.from({ length: config.layerCount }, (_, i) => i);

/** What all layers of one iteration share: position, causal mask and the lengths of the two stretches. */
function writeStep(body: NodeList, config: DecoderConfig): AttentionStep {
  const c = body.constants;
  const length = (value: string, axis: number) =>
    body.add('Shape', [value], { attributes: { start: axis, end: axis + 1 } });
  const scalar = (value: string) => body.add('Squeeze', [value]);
  const range = (from: string, to: string) => body.add('Range', [from, to, c.i64Scalar(1)]);
  const concat = (values: string[], axis: number) => body.add('Concat', values, { attributes: { axis } });

  const pastRows = length(loopName.past(0, 'key'), 0);
  const before = length('recent.0.key.before', 0);
  const recentRows = body.add('Add', [before, length(plainName.ids, 1)]);
  // A row sees the real past and the recent rows up to itself.
  const unreal = body.add('GreaterOrEqual', [range(c.i64Scalar(0), scalar(pastRows)), loopName.pastLength]);
  const rows = body.add('Unsqueeze', [range(scalar(before), scalar(recentRows)), c.i64([1])]);
  const later = body.add('Greater', [range(c.i64Scalar(0), scalar(recentRows)), rows]);
  const everyRow = concat([length(plainName.ids, 1), pastRows], 0);
  const hidden = concat([body.add('Expand', [unreal, everyRow]), later], 1);
  /** Rows that lie `window` positions or more behind; a past row's index is its position. */
  const outside = (window: number): string => {
    const back = (from: string, count: string): string =>
      body.add('Sub', [from, range(c.i64Scalar(0), scalar(count))]);
    const distance = concat(
      [back(body.add('Add', [rows, loopName.pastLength]), pastRows), back(rows, recentRows)],
      1,
    );
    return body.add('GreaterOrEqual', [distance, c.i64Scalar(window)]);
  };
  const maskOf = (isHidden: string): string => {
    const mask = body.add('Where', [isHidden, c.f32Scalar(-Infinity), c.f32Scalar(0)]);
    return body.add('Tile', [mask, c.i64([config.headCount / config.kvHeadCount, 1])]);
  };
  return {
    position: body.add('Add', [loopName.pastLength, before]),
    mask: maskOf(hidden),
    localMask:
      config.local === undefined ? null : maskOf(body.add('Or', [hidden, outside(config.local.window)])),
    stretches: concat([pastRows, recentRows], 0),
    total: body.add('Add', [loopName.pastLength, recentRows]),
  };
}
