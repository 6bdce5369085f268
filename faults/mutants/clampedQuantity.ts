import type { Mutant } from './mutant.ts';
import { crowded } from './profiles.ts';

export const clampedQuantity: Mutant = {
  name: 'clamped-quantity',
  what: 'a shipment of more than there is ships what there is',
  patches: [
    {
      file: 'inventory/stock/movements.ts',
      find: "const onHandChange = command.type === 'shipment' ? negate(amount) : amount;",
      replace: `const { onHand, reserved } = levelOf(stock, command.warehouse, product);
    const most = Math.min(amount, Math.max(0, onHand - reserved));
    const onHandChange = command.type === 'shipment' ? negate(most) : amount;`,
    },
  ],
  kinds: [],
  profile: { ...crowded, openingStock: 20 },
  noticedBy: ['effect'],
};
