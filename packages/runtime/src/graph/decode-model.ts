import { type DescField, type DescMessage, fromBinary, ScalarType } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { onnx } from '@edgedesk/tensor';

/**
 * A decoder has about 600 fields a layer, so this is room for 800 layers. An empty message takes two bytes in the file and
 * some hundred in memory.
 */
const maxFields = 2 ** 19;
/** A graph is three messages below the model's, and a graph in a node's attribute three more. */
const maxDepth = 16;

/** Parses an ONNX model after counting what it is made of; throws when it is none or of too many parts. */
export function decodeModel(bytes: Uint8Array): onnx.ModelProto {
  const reader = new BinaryReader(bytes);
  countFields(onnx.ModelProtoSchema, reader, bytes.length, maxFields, 0);
  return fromBinary(onnx.ModelProtoSchema, bytes, { readUnknownFields: false });
}

/** Skips the message that ends at `end`, and returns what is left of `budget` when each of its fields has taken one. */
function countFields(
  schema: DescMessage,
  reader: BinaryReader,
  end: number,
  budget: number,
  depth: number,
): number {
  if (depth > maxDepth) throw new RangeError(`messages are nested more than ${maxDepth} deep`);
  let left = budget;
  while (reader.pos < end) {
    const [number, wire] = reader.tag();
    const field = schema.fields.find((candidate) => candidate.number === number);
    left--;
    if (wire === WireType.LengthDelimited) {
      const length = reader.uint32();
      const next = reader.pos + length;
      if (next > end) throw new RangeError('a message ends behind the one around it');
      if (field?.message !== undefined) left = countFields(field.message, reader, next, left, depth + 1);
      // Packed numbers take a byte or more.
      else if (field !== undefined && isPacked(field)) left -= length;
      reader.pos = next;
    } else reader.skip(wire, number);
    if (left < 0) throw new RangeError(`the model has more than ${maxFields} parts`);
  }
  return left;
}

function isPacked(field: DescField): boolean {
  if (field.fieldKind !== 'list') return false;
  return field.listKind === 'enum' || (field.listKind === 'scalar' && !texts.has(field.scalar));
}

const texts: ReadonlySet<ScalarType> = new Set([ScalarType.STRING, ScalarType.BYTES]);
