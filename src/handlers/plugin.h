/*
 * plugin.h: handlers of plug-ins. A plug-in is a shared object that knows of us only include/lathe/handler.h; here its
 * handlers become handlers of ours. None of its functions is called before items run.
 *
 *     plugins_load    the files of a folder: who may have put them there, what they export
 *     plugin_add      what one exports: is it what the header says, and are its tables sound?
 *     plugin_step     an item, between the engine and the plug-in
 */
#ifndef LATHE_HANDLERS_PLUGIN_H
#define LATHE_HANDLERS_PLUGIN_H

#include "model/handler.h"

struct lathe_plugin;

/*
 * Loads every *.so of the folder, in the order of their names, for the life of the process. The setting handlers.dir: "" is
 * the folder of the installation, which need not be there; "none" loads nothing. Before there are threads and before
 * exec_start(), once. A file that is not to be loaded, or does not fit, is ERR_CONFIG with its name and the reason; what was
 * loaded before it stays.
 */
bool plugins_load(const char *dir, struct err *e) LATHE_CHECK;

/* Adds the handlers of one (handlers_add): all of them, or none where a table is not sound. *p stays where it is. */
bool plugin_add(const struct lathe_plugin *p, struct err *e) LATHE_CHECK;

/* step and drop of all of them; it->handler->own is the plug-in's struct lathe_handler. */
enum step plugin_step(struct item *it);
void plugin_drop(struct item *it);

#endif
