/* What sendmail reads: a message, and who gets it. */
#ifndef POSTERN_TOOLS_SENDMAIL_H
#define POSTERN_TOOLS_SENDMAIL_H

#include <stddef.h>
#include <stdio.h>

/* Most recipients of one call. */
enum { MAX_RECIPIENTS = 2000 };

struct text {
  char* data;
  size_t len, room;
};

/* add appends `len` octets; without memory it ends the program with EX_OSERR. */
void add(struct text* to, const char* data, size_t len);
void add_string(struct text* to, const char* string);

struct letter {
  struct text content; /* as it is handed in: lines end in LF */
  char** recipients;
  size_t recipient_count;
  int has_from;
};

void add_recipient(struct letter* letter, const char* address, size_t len);

/* read_letter reads a message from `in` to its end, or, with `dot_ends`, to a line with a dot
 * alone. With `take_recipients` those of To, Cc and Bcc are added to the others. Bcc goes. Without
 * a From there is one of `full_name` (UTF-8; may be empty) and `address`, which may be a name
 * alone. It returns 0; or says what is wrong and returns an exit status. */
int read_letter(FILE* in, int dot_ends, int take_recipients, const char* full_name,
                const char* address, struct letter* letter);

#endif /* POSTERN_TOOLS_SENDMAIL_H */
