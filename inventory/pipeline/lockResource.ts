/**
 * The names of locks. The tenant is the hash tag: all pairs of a batch are on one Redis Cluster
 * slot.
 */
export function tenantLocks(tenant: string): string {
  return `{${tenant}}:`;
}

export function lockResource(tenant: string, resource: string): string {
  return `${tenantLocks(tenant)}${resource}`;
}

export function pairResource(tenant: string, warehouse: string, product: string): string {
  return lockResource(tenant, `product_warehouse:${product}:${warehouse}`);
}
