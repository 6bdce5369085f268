export type { PostgresClaims } from './claims.ts';
export { postgresClaims } from './claims.ts';
export { deleteExpiredRecords, deleteExpiredRecordsSql } from './delete-expired-records.ts';
export { findRecords, findRecordsSql } from './find-records.ts';
export { insertRecords, insertRecordsSql } from './insert-records.ts';
export type { MigrateOptions } from './migrate.ts';
export { migrate } from './migrate.ts';
export type { Query } from './query.ts';
