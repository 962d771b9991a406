/** Lets Node run the sources, in threads too: `--import tsx` does so in a process's first thread only. */
import { register } from 'tsx/esm/api';

register();
