/* The verbs of `postern` that have a file of their own. Each takes the words behind its name and
 * gives the exit status. */
#ifndef POSTERN_TOOLS_VERBS_H
#define POSTERN_TOOLS_VERBS_H

int arc_command(int argc, char** argv);
int auth_command(int argc, char** argv);
/* By another name the program is another: `name` is what it was called as; -1 when that is none of
 * its names. */
int called_by_name(const char* name, int argc, char** argv);
int ctl_command(int argc, char** argv);
int sendmail_command(int argc, char** argv);
int config_check_command(int argc, char** argv);
int dkim_command(int argc, char** argv);
int dmarc_command(int argc, char** argv);
int explain_command(int argc, char** argv);
int parse_command(int argc, char** argv);
int spf_command(int argc, char** argv);

#endif /* POSTERN_TOOLS_VERBS_H */
