/*
 * Ctrl-C and friends while the runtime is being unpacked: they set a flag, the work stops and cleans up.
 */
#ifndef PACKER_SIGNALS_H
#define PACKER_SIGNALS_H

/* Start catching SIGHUP, SIGINT and SIGTERM (those that the parent didn't ask to ignore), or their like. */
void signals_catch(void);

/* Give every signal back the disposition it had before signals_catch(). */
void signals_release(void);

/* Number of the first signal caught, or 0. */
int signals_pending(void);

#endif
