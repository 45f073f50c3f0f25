# Macros of Lathe's own configure.

# LATHE_TRY_FLAG(VARIABLE, FLAG)
# Appends FLAG to VARIABLE where the compiler and the linker take it in silence beside the flags that are already
# there and those of the user. The user's own CFLAGS, CPPFLAGS and LDFLAGS are never written.
AC_DEFUN([LATHE_TRY_FLAG], [
  AS_VAR_PUSHDEF([cache], [lathe_cv_flag_$1_$2])
  AC_CACHE_CHECK([whether $CC takes $2], [cache], [
    lathe_save_CFLAGS=$CFLAGS
    CFLAGS="$lathe_unknown_is_error -Werror $$1 $2 $CFLAGS"
    AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <string.h>
      ]], [[char b[8]; memset(b, 0, sizeof b); return b[0];]])],
      [AS_VAR_SET([cache], [yes])], [AS_VAR_SET([cache], [no])])
    CFLAGS=$lathe_save_CFLAGS
  ])
  AS_VAR_IF([cache], [yes], [AS_VAR_APPEND([$1], [" $2"])])
  AS_VAR_POPDEF([cache])
])

# LATHE_TRY_FLAGS(VARIABLE, FLAGS): each of FLAGS in turn.
AC_DEFUN([LATHE_TRY_FLAGS], [m4_foreach_w([lathe_flag], [$2], [LATHE_TRY_FLAG([$1], m4_defn([lathe_flag]))])])

# LATHE_NEED(WHAT, DEBIAN PACKAGE, RHEL PACKAGE): notes something that is missing; LATHE_MISSING_END reports.
AC_DEFUN([LATHE_NEED], [lathe_missing="$lathe_missing
    m4_expand([$1]): Debian $2, RHEL $3"])

# Stops with everything that is missing at once, so that nobody installs one package at a time.
AC_DEFUN([LATHE_MISSING_END], [
  AS_IF([test -n "$lathe_missing"], [AC_MSG_ERROR([missing:
$lathe_missing

dev/deps installs all of it.])])
])

# LATHE_LIB(PREFIX, PKG-CONFIG SPEC, DEBIAN, RHEL)
AC_DEFUN([LATHE_LIB], [
  PKG_CHECK_MODULES([$1], [$2], [
    LATHE_LIB_CPPFLAGS="$LATHE_LIB_CPPFLAGS $$1_CFLAGS"
    LATHE_LIBS="$LATHE_LIBS $$1_LIBS"
  ], [LATHE_NEED([$2], [$3], [$4])])
])
