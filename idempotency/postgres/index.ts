export { deleteExpiredRecords, deleteExpiredRecordsSql } from './delete-expired-records.ts';
export { findRecords, findRecordsSql } from './find-records.ts';
export { insertRecords, insertRecordsSql } from './insert-records.ts';
export type { Query } from './query.ts';
