/**
 * How long it is remembered that edges were told to forget a hash. The copies that such a mark stands for end by themselves: nothing shown
 * to all is served from an edge after 8 days (fresh for one, stale for 7 while no origin answers), and an nginx drops its own mark at 31 to
 * 32 days (`find -mtime +30` once a day, README). A mark that is missed costs speed, never secrecy: it is read only to tell edges that they
 * may keep a picture again.
 */
export const EDGE_MARK_MS = 32 * 24 * 60 * 60 * 1000
