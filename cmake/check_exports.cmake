# cmake -D NM=nm -D LIBRARY=lib.so -D HEADER=daguerre.h [-D COMPLETE=1] -P check_exports.cmake
# Fails unless every exported symbol is one that the header declares; with COMPLETE also when a
# declared function is missing.
execute_process(COMMAND "${NM}" -D --defined-only --format=posix "${LIBRARY}"
                OUTPUT_VARIABLE symbols RESULT_VARIABLE status ERROR_VARIABLE problem)
if(status)
    message(FATAL_ERROR "${NM} cannot read ${LIBRARY}: ${problem}")
endif()
string(REGEX MATCHALL "[^\n]+" symbols "${symbols}")
list(TRANSFORM symbols REPLACE " .*" "")

file(READ "${HEADER}" header)
string(REGEX REPLACE "/\\*([^*]|\\*+[^*/])*\\*+/" "" header "${header}")
string(REGEX REPLACE "\n#[^\n]*" "" header "${header}")
string(REGEX MATCHALL "DG_API[^;(]*\\(" declared "${header}")
list(TRANSFORM declared REPLACE ".*[^a-z_0-9](dg_[a-z_0-9]+) *\\(" "\\1")

set(foreign ${symbols})
list(REMOVE_ITEM foreign ${declared})
if(foreign)
    message(FATAL_ERROR "${LIBRARY} exports what ${HEADER} does not declare: ${foreign}")
endif()
if(COMPLETE)
    list(REMOVE_ITEM declared ${symbols})
    if(declared)
        message(FATAL_ERROR "${LIBRARY} lacks what ${HEADER} declares: ${declared}")
    endif()
    list(LENGTH symbols count)
    message(STATUS "${count} functions exported, as declared")
endif()
