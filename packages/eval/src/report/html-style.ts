/** Colours of the models in their order: the base in grey, then hues that stay apart for colour-blind readers. */
const palette = {
  light: ['#7a7f87', '#2563c9', '#c2570c', '#0f8571', '#8a4fbf', '#b02a5b', '#7a6a00', '#4b5563'],
  dark: ['#9aa1ab', '#6ea3ff', '#f0904d', '#3fc2a7', '#bd8df0', '#ef7da5', '#cbb63c', '#c4cad4'],
};

/** Models beyond this many share colours. */
export const seriesCount = palette.light.length;

const variables = (scheme: 'light' | 'dark') =>
  palette[scheme].map((color, i) => `--s${i}:${color}`).join(';');

export const reportStyle = `
:root{color-scheme:light dark;--ink:#1a1d21;--soft:#5a616b;--line:#e1e4e8;--page:#ffffff;--card:#f7f8fa;${variables('light')}}
@media (prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a2a9b3;--line:#343a42;--page:#15181c;--card:#1d2126;${variables('dark')}}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI","PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif}
main{max-width:1000px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:26px;margin:0 0 4px}
h2{font-size:18px;margin:36px 0 12px}
h3{font-size:15px;margin:0;overflow-wrap:anywhere}
p{margin:6px 0}
.soft{color:var(--soft)}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px;margin:12px 0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:6px 8px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left}
th{font-weight:600;color:var(--soft);font-size:13px}
tr:last-child td{border-bottom:0}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:8px 0;font-size:13px;list-style:none;padding:0}
.dot{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:6px}
svg{display:block;width:100%;min-width:600px;height:auto;font-size:12px}
svg text{fill:var(--ink)}
svg .tick{fill:var(--soft);font-size:11px}
svg .value{font-size:11px}
.grid{stroke:var(--line)}
.axis{stroke:var(--soft);fill:none}
.whisker{stroke:var(--ink);stroke-width:1.2;fill:none}
${palette.light.map((_, i) => `svg .s${i}{fill:var(--s${i})}.dot.s${i}{background:var(--s${i})}`).join('\n')}
@media print{.card{break-inside:avoid}}
`;
