/* postern parse: what a message is made of. */
#ifndef POSTERN_TOOLS_PARSE_H
#define POSTERN_TOOLS_PARSE_H

/* parse_command runs `postern parse` with the arguments behind the verb and returns the exit
 * status: 0; 1 when the file cannot be read or has no such part; 2 for wrong usage. */
int parse_command(int argc, char** argv);

#endif /* POSTERN_TOOLS_PARSE_H */
