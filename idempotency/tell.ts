/**
 * Calls back, also an async one. What it throws becomes a warning: whatever it does, work goes on.
 */
export async function tell(callback: () => unknown): Promise<void> {
  try {
    await callback();
  } catch (error) {
    process.emitWarning(error instanceof Error ? error : String(error));
  }
}
