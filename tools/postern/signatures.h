/* What the verbs of signatures share (dkim.c, arc.c). */
#ifndef POSTERN_TOOLS_SIGNATURES_H
#define POSTERN_TOOLS_SIGNATURES_H

#include <postern.h>

/* message_has_crlf tells whether the first line of a message ends as on the wire. */
int message_has_crlf(const char* data, size_t len);

/* put_fields prints header fields (CRLF), with LF alone unless `crlf`. */
void put_fields(const char* data, size_t len, int crlf);

/* read_key reads a private key from a PEM file. It returns 0, or says what is wrong and returns
 * EXIT_USAGE. */
int read_key(const char* path, postern_dkim_key** key);

#endif /* POSTERN_TOOLS_SIGNATURES_H */
