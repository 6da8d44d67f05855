/** Plots as plain SVG text: few shapes, no dependency, legible in light and dark pages. */
export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly text: string;
  readonly ours: boolean;
}

export interface Series {
  readonly label: string;
  readonly ours: boolean;
  readonly points: readonly (readonly [x: number, y: number])[];
}

const width = 760;
const barHeight = 24;
const labelWidth = 150;
const plotWidth = width - labelWidth - 170;
const ours = '#c2410c';
const palette = ['#1d4ed8', '#047857', '#7c3aed', '#b45309', '#0e7490', '#be185d', '#4d7c0f', '#6b7280'];

/** Horizontal bars on a logarithmic scale; `goal` is drawn as a line. */
export function barChart(
  title: string,
  bars: readonly Bar[],
  goal?: { readonly value: number; readonly text: string },
): string {
  const values = [...bars.map((bar) => bar.value), ...(goal ? [goal.value] : [])].filter(
    (value) => value > 0,
  );
  const least = Math.log10(Math.min(...values)) - 0.3;
  const span = Math.max(0.5, Math.log10(Math.max(...values)) - least);
  const reach = (value: number): number => (value > 0 ? ((Math.log10(value) - least) / span) * plotWidth : 0);
  const height = 60 + bars.length * barHeight;
  const shapes = bars.flatMap((bar, index) => {
    const y = 44 + index * barHeight;
    const length = Math.max(2, reach(bar.value)).toFixed(1);
    return [
      text(labelWidth - 8, y + 15, bar.label, 'end'),
      `<rect x="${labelWidth}" y="${y + 3}" width="${length}" height="${barHeight - 7}" rx="2" fill="${bar.ours ? ours : '#94a3b8'}"/>`,
      text(labelWidth + Number(length) + 6, y + 15, bar.text),
    ];
  });
  if (goal) {
    const x = (labelWidth + reach(goal.value)).toFixed(1);
    shapes.push(
      `<line x1="${x}" y1="36" x2="${x}" y2="${height - 14}" stroke="#15803d" stroke-dasharray="4 3"/>`,
      text(Number(x) + 4, height - 4, goal.text),
    );
  }
  return frame(height, [text(12, 22, title, 'start', 15), ...shapes]);
}

/** Lines over a logarithmic x axis; y is linear (a share) or logarithmic. */
export function lineChart(
  title: string,
  xLabel: string,
  yLabel: string,
  series: readonly Series[],
  logarithmicY: boolean,
): string {
  const height = 360;
  const [left, top, right, bottom] = [70, 56, width - 160, height - 46];
  const xs = series.flatMap((one) => one.points.map(([x]) => x)).filter((x) => x > 0);
  const ys = series.flatMap((one) => one.points.map(([, y]) => y)).filter((y) => !logarithmicY || y > 0);
  const x = axis(xs, left, right, true);
  const y = axis(logarithmicY ? ys : [0, 1, ...ys], bottom, top, logarithmicY);
  const grid = [
    ...x.ticks.flatMap(([at, label]) => [
      line(at, top, at, bottom),
      text(at, bottom + 16, label, 'middle', 11),
    ]),
    ...y.ticks.flatMap(([at, label]) => [
      line(left, at, right, at),
      text(left - 6, at + 4, label, 'end', 11),
    ]),
  ];
  const curves = series.flatMap((one, index) => {
    const colour = one.ours ? ours : (palette[index % palette.length] ?? '#6b7280');
    const points = one.points
      .filter(([px, py]) => px > 0 && (!logarithmicY || py > 0))
      .map(([px, py]) => `${x.place(px).toFixed(1)},${y.place(py).toFixed(1)}`);
    return [
      `<polyline points="${points.join(' ')}" fill="none" stroke="${colour}" stroke-width="${one.ours ? 2.5 : 1.5}"/>`,
      `<rect x="${right + 14}" y="${top + index * 20}" width="12" height="12" fill="${colour}"/>`,
      text(right + 32, top + 10 + index * 20, one.label),
    ];
  });
  return frame(height, [
    text(12, 22, title, 'start', 15),
    ...grid,
    ...curves,
    text((left + right) / 2, height - 10, xLabel, 'middle'),
    text(12, top - 8, yLabel),
  ]);
}

interface Axis {
  readonly ticks: readonly (readonly [number, string])[];
  place(value: number): number;
}

function axis(values: readonly number[], from: number, to: number, logarithmic: boolean): Axis {
  const scale = (value: number): number => (logarithmic ? Math.log10(value) : value);
  const low = logarithmic ? Math.floor(scale(Math.min(...values))) : 0;
  const high = logarithmic ? Math.max(low + 1, Math.ceil(scale(Math.max(...values)))) : Math.max(...values);
  const place = (value: number): number => from + ((scale(value) - low) / (high - low)) * (to - from);
  const marks = logarithmic
    ? Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index))
    : [0, 0.25, 0.5, 0.75, 1].map((share) => share * high);
  return {
    place,
    ticks: marks.map((mark) => [place(mark), mark.toLocaleString('en', { maximumSignificantDigits: 3 })]),
  };
}

function line(x1: number, y1: number, x2: number, y2: number): string {
  return `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="#e2e8f0"/>`;
}

function text(x: number, y: number, content: string, anchor = 'start', size = 12): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" font-size="${size}">${escapeXml(content)}</text>`;
}

function frame(height: number, parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" fill="#0f172a">
<rect width="${width}" height="${height}" fill="#ffffff"/>
${parts.join('\n')}
</svg>
`;
}

export function escapeXml(content: string): string {
  return content
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
