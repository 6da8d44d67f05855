import { escapeXml } from './svg.ts';

/** A node of the call tree, with the time spent in it and below it. */
export interface Frame {
  readonly name: string;
  readonly selfSeconds: number;
  readonly totalSeconds: number;
  readonly children: readonly Frame[];
}

export interface Profile {
  readonly root: Frame;
}

interface RawNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
}

/** Reads V8's .cpuprofile (Chrome DevTools Protocol, Profiler.Profile): samples with the time before each, in microseconds. */
export function parseProfile(text: string): Profile {
  const value: unknown = JSON.parse(text);
  if (!isRaw(value)) throw new Error('not a CPU profile');
  const micros = new Map<number, number>();
  for (const [index, id] of value.samples.entries())
    micros.set(id, (micros.get(id) ?? 0) + Math.max(0, value.timeDeltas[index] ?? 0));
  const nodes = new Map(value.nodes.map((node) => [node.id, node]));
  const build = (node: RawNode): Frame => {
    const children = mergeByName((node.children ?? []).flatMap((id) => nodes.get(id) ?? []).map(build));
    const selfSeconds = (micros.get(node.id) ?? 0) / 1e6;
    return { name: frameName(node), selfSeconds, totalSeconds: selfSeconds + sum(children), children };
  };
  const [root] = value.nodes;
  if (!root) throw new Error('an empty CPU profile');
  return { root: build(root) };
}

/** Seconds in each function itself, over all callers. */
export function selfTimes(profile: Profile): Map<string, number> {
  const times = new Map<string, number>();
  const visit = (frame: Frame): void => {
    times.set(frame.name, (times.get(frame.name) ?? 0) + frame.selfSeconds);
    for (const child of frame.children) visit(child);
  };
  visit(profile.root);
  return times;
}

const width = 1400;
const rowHeight = 17;
const leastWidth = 0.8;

/** Time in which a thread waits: for its event loop, or for the kernel in a blocking call. */
export function isWaiting(name: string): boolean {
  return /^\((idle|program)\)/.test(name) || /^syscall\d*Interruptible /.test(name);
}

function withoutWaiting(frame: Frame): Frame[] {
  if (isWaiting(frame.name)) return [];
  const children = frame.children.flatMap(withoutWaiting);
  return [{ ...frame, children, totalSeconds: frame.selfSeconds + sum(children) }];
}

/** Callers above, callees below; waiting is left out, so that widths are shares of the busy time. */
export function flameGraph(profile: Profile, title: string): string {
  const top = profile.root.children.flatMap(withoutWaiting);
  const scale = width / Math.max(1e-9, sum(top));
  const shapes: string[] = [];
  let depth = 0;
  const draw = (frames: readonly Frame[], x: number, row: number): void => {
    let left = x;
    for (const frame of frames.toSorted((a, b) => b.totalSeconds - a.totalSeconds)) {
      const wide = frame.totalSeconds * scale;
      if (wide < leastWidth) break;
      depth = Math.max(depth, row);
      shapes.push(box(frame, left, 30 + row * rowHeight, wide));
      draw(frame.children, left, row + 1);
      left += wide;
    }
  };
  draw(top, 0, 0);
  const height = 40 + (depth + 1) * rowHeight;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="monospace" font-size="11">
<rect width="${width}" height="${height}" fill="#fff"/><text x="6" y="19" font-size="14">${escapeXml(title)}</text>
${shapes.join('\n')}
</svg>
`;
}

function box(frame: Frame, x: number, y: number, wide: number): string {
  const milliseconds = `${(frame.totalSeconds * 1000).toFixed(0)} ms, itself ${(frame.selfSeconds * 1000).toFixed(0)} ms`;
  const letters = Math.floor((wide - 4) / 6.7);
  const label =
    letters > 3
      ? `<text x="${(x + 3).toFixed(1)}" y="${y + 12}">${escapeXml(frame.name.slice(0, letters))}</text>`
      : '';
  return `<g><title>${escapeXml(`${frame.name}: ${milliseconds}`)}</title><rect x="${x.toFixed(1)}" y="${y}" width="${wide.toFixed(1)}" height="${rowHeight - 1}" fill="${colour(frame.name)}"/>${label}</g>`;
}

/** Our own code warm, node's and native code cool: the eye finds what can be changed. */
function colour(name: string): string {
  let hash = 0;
  for (const letter of name) hash = (hash * 31 + letter.charCodeAt(0)) >>> 0;
  const hue = name.includes('node:') || name.startsWith('(') ? 200 : name.includes('node_modules') ? 140 : 28;
  return `hsl(${hue + (hash % 16)} 75% ${68 + (hash % 12)}%)`;
}

function frameName(node: RawNode): string {
  const { functionName, url, lineNumber } = node.callFrame;
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (url === '') return name;
  const file = url
    .replace(/^file:\/\//, '')
    .replace(/^.*\/(dist|node_modules)\//, (_, folder: string) => (folder === 'dist' ? '' : 'node_modules/'));
  return `${name} ${file}:${lineNumber + 1}`;
}

function mergeByName(frames: readonly Frame[]): Frame[] {
  const groups = new Map<string, Frame[]>();
  for (const frame of frames) groups.set(frame.name, [...(groups.get(frame.name) ?? []), frame]);
  return [...groups.entries()].map(([name, group]) => {
    const [only] = group;
    if (only && group.length === 1) return only;
    const children = mergeByName(group.flatMap((frame) => frame.children));
    return {
      name,
      selfSeconds: group.reduce((total, frame) => total + frame.selfSeconds, 0),
      totalSeconds: sum(group),
      children,
    };
  });
}

function sum(frames: readonly Frame[]): number {
  return frames.reduce((total, frame) => total + frame.totalSeconds, 0);
}

interface Raw {
  readonly nodes: readonly RawNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Written by V8 on our order: its three lists are proof enough. */
function isRaw(value: unknown): value is Raw {
  return (
    typeof value === 'object' &&
    value !== null &&
    'nodes' in value &&
    Array.isArray(value.nodes) &&
    'samples' in value &&
    Array.isArray(value.samples) &&
    'timeDeltas' in value
  );
}
