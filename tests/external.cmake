# Installs clnorm into a folder of its own, builds tests/external against it, once with find_package and once with
# pkg-config, and trains with both. cmake -DBUILD=... -DSOURCE=... -DSCRATCH=... -DCC=... [-DFLAGS=...] -P external.cmake
set(prefix ${SCRATCH}/prefix)
file(REMOVE_RECURSE ${SCRATCH})
file(MAKE_DIRECTORY ${SCRATCH})

function(run)
  list(JOIN ARGN " " line)
  message(STATUS "${line}")
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY ${SCRATCH} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix})
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${SCRATCH}/build -DCMAKE_PREFIX_PATH=${prefix} -DCMAKE_C_COMPILER=${CC}
    "-DCMAKE_C_FLAGS=${FLAGS}")
run(${CMAKE_COMMAND} --build ${SCRATCH}/build)
run(${SCRATCH}/build/external ${SCRATCH}/model.safetensors)

# The installed program needs nothing beside it, and takes the model.
run(${CMAKE_COMMAND} -E rename ${prefix}/bin/clnorm ${SCRATCH}/moved)
run(${SCRATCH}/moved eval ${SCRATCH}/model.safetensors --data sample)

# pkg-config, after the prefix was moved: the file names its folders relative to itself.
file(RENAME ${prefix} ${SCRATCH}/elsewhere)
file(GLOB_RECURSE pc ${SCRATCH}/elsewhere/*/clnorm.pc)
get_filename_component(pc_dir ${pc} DIRECTORY)
set(ENV{PKG_CONFIG_PATH} ${pc_dir})
execute_process(COMMAND pkg-config --cflags --libs clnorm OUTPUT_VARIABLE flags
  OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(flags UNIX_COMMAND "${FLAGS} ${SOURCE}/main.c ${flags}")
run(${CC} -std=c11 -o ${SCRATCH}/by-pkg-config ${flags})
run(${SCRATCH}/by-pkg-config ${SCRATCH}/model.safetensors)
