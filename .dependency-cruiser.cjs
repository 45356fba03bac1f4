// Imports run one way (docs/architecture.md). `allowed` lists, for each package, the packages it may import.
const allowed = {
  tensor: [],
  models: ['tensor'],
  train: ['tensor', 'models'],
  compress: ['tensor', 'models', 'train'],
  runtime: ['tensor', 'models'],
  eval: ['tensor', 'models', 'runtime'],
};

module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'packages-never-import-apps',
      severity: 'error',
      from: { path: '^packages/' },
      to: { path: '^apps/' },
    },
    {
      name: 'core-is-platform-free',
      comment: 'A library core may not import Node built-ins or its own platform folders.',
      severity: 'error',
      from: { path: '^packages/[^/]+/src/(?!node/|browser/)', pathNot: '[.](test|case)[.]ts$|/fixtures/' },
      to: { path: '^(node:|fs$|path$|os$)|^packages/[^/]+/src/(node|browser)/' },
    },
    {
      name: 'no-cross-package-internals',
      comment:
        'Packages are imported through their exports, never by a path into src. Tests may share their cases.',
      severity: 'error',
      from: { path: '^(packages|apps)/([^/]+)/' },
      to: {
        path: '^(packages|apps)/[^/]+/src/(?!(node/|browser/)?index[.]ts$)',
        pathNot: '^(packages|apps)/$2/|[.]case[.]ts$',
      },
    },
    ...Object.entries(allowed).map(([name, targets]) => ({
      name: `imports-of-${name}`,
      severity: 'error',
      from: { path: `^packages/${name}/src/` },
      to: {
        path: '^packages/',
        pathNot: [name, ...targets].map((p) => `^packages/${p}/`),
      },
    })),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)dist/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['edgedesk-source', 'import', 'node', 'default'],
    },
  },
};
