import { PrismaPg } from '@prisma/adapter-pg';
import { type GetPrismaClientConfig, getPrismaClient } from '@prisma/client/runtime/client';
import type { PoolConfig } from 'pg';

// The package declares no types for these files, nor Node for WebAssembly.
const compiler = '@prisma/client/runtime/query_compiler_fast_bg.postgresql';
declare const WebAssembly: { Module: new (bytes: Uint8Array) => object };

/**
 * What `prisma generate` 7.10.0 writes for a schema without models.
 *
 * Kept here because the command itself first downloads a schema engine, which it does not use; raw
 * statements need no models. `PRISMA_SCHEMA_ENGINE_BINARY=/bin/true npx prisma generate` makes it
 * anew.
 */
const config: GetPrismaClientConfig = {
  previewFeatures: [],
  clientVersion: '7.10.0',
  engineVersion: '0edf323efd1d98336f3f0a68684b56f689b900d3',
  activeProvider: 'postgresql',
  inlineSchema: 'datasource db {\n  provider = "postgresql"\n}\n',
  runtimeDataModel: { models: {}, enums: {}, types: {} },
  parameterizationSchema: { strings: [], graph: 'AAAA' },
  compilerWasm: {
    getRuntime: () => import(`${compiler}.mjs`),
    getQueryCompilerWasmModule: async () => {
      const { wasm } = await import(`${compiler}.wasm-base64.mjs`);
      return new WebAssembly.Module(Buffer.from(wasm, 'base64'));
    },
    importName: './query_compiler_fast_bg.js',
  },
};

/** The part of a client, and of the client of its interactive transactions, that raw SQL needs. */
export interface RawPrisma {
  $queryRawUnsafe<Rows>(sql: string, ...params: unknown[]): Promise<Rows>;
}

export interface PrismaClient extends RawPrisma {
  $transaction<T>(work: (tx: RawPrisma) => Promise<T>): Promise<T>;
  $disconnect(): Promise<void>;
}

/** A client of Prisma's, over its driver adapter for `pg`. */
export function prismaClient(connection: PoolConfig): PrismaClient {
  const Client = getPrismaClient(config) as unknown as new (options: object) => PrismaClient;
  return new Client({ adapter: new PrismaPg(connection) });
}
