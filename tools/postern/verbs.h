/* The verbs of `postern` that have a file of their own, <verb>.c. Each gets the words behind its
 * name and returns the program's exit status. */
#ifndef POSTERN_TOOLS_VERBS_H
#define POSTERN_TOOLS_VERBS_H

<<<<<<< HEAD int arc_command(int argc, char** argv); int dkim_command(int argc, char** argv);
=======
int parse_command(int argc, char** argv);
>>>>>>> 79cc519 (tools: postern parse reads its options as the other verbs do)
    int
    spf_command(int argc, char** argv);

#endif /* POSTERN_TOOLS_VERBS_H */
