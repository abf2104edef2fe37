/* commands.h -- declares every row of commands.def. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H
#include "cli/command.h"

#define AP_COMMAND(name_) extern const struct ap_command ap_command_##name_;
#include "cli/commands.def"
#undef AP_COMMAND

#endif
