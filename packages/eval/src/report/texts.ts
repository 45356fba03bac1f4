import type { Language } from '@edgedesk/models';
import type { MetricName } from '../metrics/metric.js';

interface ReportTexts {
  readonly title: string;
  readonly model: string;
  readonly size: string;
  readonly smaller: string;
  readonly bitsPerWeight: string;
  readonly parameters: string;
  readonly qualityKept: string;
  readonly ttft: string;
  readonly prefill: string;
  readonly decode: string;
  readonly peakRss: string;
  readonly tokensPerSecond: string;
  readonly speed: string;
  readonly data: string;
  readonly metric: string;
  readonly summary: string;
  readonly sizeAndQuality: string;
  readonly keptInBrackets: string;
  readonly howMade: string;
  readonly method: string;
  rows(measured: number, available: number): string;
  settings(limit: number | null, replyTokens: number, seed: number): string;
  readonly metrics: Readonly<Record<MetricName, string>>;
}

/** Words of the terminal table and the HTML report. */
export const reportTexts: Readonly<Record<Language, ReportTexts>> = {
  en: {
    title: 'Evaluation report',
    model: 'Model',
    size: 'Size',
    smaller: 'Smaller',
    bitsPerWeight: 'Bits/weight',
    parameters: 'Parameters',
    qualityKept: 'Quality kept',
    ttft: 'First token',
    prefill: 'Prefill',
    decode: 'Decode',
    peakRss: 'Peak memory',
    tokensPerSecond: 'tok/s',
    speed: 'Speed and memory',
    data: 'Quality on data',
    metric: 'Metric',
    summary: 'Summary',
    sizeAndQuality: 'Size and quality kept',
    keptInBrackets:
      'In brackets: share kept of the base on the same rows. ↓ marks metrics that are better when low.',
    howMade: 'How this was measured',
    method:
      'Whiskers are 95 % bootstrap intervals over rows. Quality kept is the geometric mean over files and main metrics of ' +
      'the share kept of the base, a gain counting as 100 %. Perplexity, KL and agreement are taken on the tokens of the ' +
      "assistant's messages, or on all tokens of plain text. Replies are generated greedily.",
    rows: (measured, available) => `${measured} of ${available} rows`,
    settings: (limit, replyTokens, seed) =>
      `Rows a file: ${limit ?? 'all'}. Longest reply: ${replyTokens} tokens. Seed: ${seed}.`,
    metrics: {
      perplexity: 'Perplexity ↓',
      bitsPerByte: 'Bits per byte ↓',
      klDivergence: 'KL to base ↓',
      top1Agreement: 'Same next token as base',
      intentAccuracy: 'Intent accuracy',
      oosAuroc: 'Out-of-scope AUROC',
      oosRecall: 'Out-of-scope recall',
      rougeL: 'ROUGE-L',
      chrF: 'chrF',
      tokenF1: 'Answer token F1',
      exactMatch: 'Answer exact match',
      rightPassage: 'Answers from the right passage',
      refusalRecall: 'Refuses the unanswerable',
      falseRefusalRate: 'Refuses the answerable ↓',
      handOffRecall: 'Hands over when it must',
      falseHandOffRate: 'Hands over without need ↓',
    },
  },
  zh: {
    title: '评测报告',
    model: '模型',
    size: '大小',
    smaller: '压缩倍数',
    bitsPerWeight: '每权重位数',
    parameters: '参数量',
    qualityKept: '质量保留',
    ttft: '首字延迟',
    prefill: '预填充',
    decode: '解码',
    peakRss: '内存峰值',
    tokensPerSecond: '词元/秒',
    speed: '速度与内存',
    data: '各数据集上的质量',
    metric: '指标',
    summary: '概览',
    sizeAndQuality: '大小与质量保留',
    keptInBrackets: '括号内为在相同样本上相对基准模型的保留比例。↓ 表示越低越好。',
    howMade: '测量方法',
    method:
      '误差线为按样本自助抽样得到的 95% 区间。质量保留是各文件、各主要指标相对基准模型保留比例的几何平均，超过基准按 100% 计。' +
      '困惑度、KL 散度和一致率在助手消息的词元上计算，纯文本则在全部词元上计算。回复采用贪心解码生成。',
    rows: (measured, available) => `${available} 条中的 ${measured} 条`,
    settings: (limit, replyTokens, seed) =>
      `每个文件的样本数：${limit ?? '全部'}。回复最长 ${replyTokens} 个词元。随机种子：${seed}。`,
    metrics: {
      perplexity: '困惑度 ↓',
      bitsPerByte: '每字节比特数 ↓',
      klDivergence: '与基准的 KL 散度 ↓',
      top1Agreement: '首选词元与基准一致',
      intentAccuracy: '意图准确率',
      oosAuroc: '范围外识别 AUROC',
      oosRecall: '范围外召回率',
      rougeL: 'ROUGE-L',
      chrF: 'chrF',
      tokenF1: '答案 F1',
      exactMatch: '答案完全匹配',
      rightPassage: '依据正确的资料作答',
      refusalRecall: '无答案时拒答率',
      falseRefusalRate: '有答案却拒答率 ↓',
      handOffRecall: '该转人工时转接率',
      falseHandOffRate: '无需转接却转接率 ↓',
    },
  },
};
