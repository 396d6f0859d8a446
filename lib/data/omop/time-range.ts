/** Times that 64-bit nanoseconds can hold: what pandas reads. A time outside is a placeholder or an error of export. */
export const earliestTime = "TIMESTAMP '1677-09-22 00:00:00'";
export const latestTime = "TIMESTAMP '2262-04-10 23:59:59'";
