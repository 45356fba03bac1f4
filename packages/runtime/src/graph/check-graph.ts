import type { onnx } from '@edgedesk/tensor';

type Fail = (message: string) => never;

/**
 * Checks what ONNX asks of every graph and the rewriting relies on: each value is made once, and before it is read, so that
 * nothing goes in a circle.
 */
export function checkGraph(graph: onnx.GraphProto, fail: Fail): void {
  const made = new Set(graph.input.map((value) => value.name));
  const make = (name: string): void => {
    if (made.has(name)) fail(`"${shown(name)}" is made twice`);
    made.add(name);
  };
  for (const { name } of graph.initializer) if (!isDefault(graph, name)) make(name);
  for (const node of graph.node) {
    for (const name of node.input) {
      if (name !== '' && !made.has(name)) {
        fail(
          `a node of the kind ${shown(node.opType)} reads "${shown(name)}", which nothing before it makes`,
        );
      }
    }
    for (const name of node.output) if (name !== '') make(name);
  }
  const computed = new Set(graph.node.flatMap((node) => node.output));
  for (const { name } of graph.output)
    if (!computed.has(name)) fail(`no node computes the output "${shown(name)}"`);
}

/** An input may have a default, which is an initializer of its name. */
function isDefault(graph: onnx.GraphProto, name: string): boolean {
  return graph.input.some((value) => value.name === name);
}

function shown(name: string): string {
  return name.slice(0, 80);
}
