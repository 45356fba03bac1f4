export type { HubBodyReader, HubClient, HubFetch, HubResponse } from './client.js';
export { chooseFiles, matchesGlob } from './file-choice.js';
export { type HubTiming, hubLimits, hubTiming } from './limits.js';
export { type HubStore, type Pulled, pullFiles, type PullOptions, type PullProgress } from './pull.js';
export type { BlobHash, PartialBlob } from './download-blob.js';
export { type FileFacts, fileFacts, listFiles, type Listing } from './repo-files.js';
export { assertFileName, commitPattern, type HubModel, isHubModel, parseHubModel, repoFolder, snapshotName } from './repo-name.js';
