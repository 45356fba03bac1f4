import type { Language } from '@edgedesk/models';
import { reportStyle } from './html-style.js';
import { escapeJson, escapeMarkup } from './markup.js';

export interface HtmlPage {
  readonly lang: Language;
  readonly title: string;
  /** Markup behind the title. */
  readonly body: string;
  /** What the page shows, for programs to read. */
  readonly data: { readonly id: string; readonly value: unknown };
  /** Rules behind the reports' own. */
  readonly style?: string;
}

/** A report's page: no script to run, nothing from the network, light or dark as the reader has it, its data in it as JSON. */
export function htmlPage({ lang, title, body, data, style = '' }: HtmlPage): string {
  return `<!doctype html>
<html lang="${lang === 'zh' ? 'zh-CN' : 'en'}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeMarkup(title)}</title>
<style>${reportStyle}${style}</style>
</head>
<body>
<main>
<h1>${escapeMarkup(title)}</h1>
${body}
</main>
<script type="application/json" id="${data.id}">${escapeJson(data.value)}</script>
</body>
</html>
`;
}
