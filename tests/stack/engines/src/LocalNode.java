package @PACKAGE@.node;

import java.nio.file.Path;
import java.util.Collection;
import java.util.Map;

import @PACKAGE@.common.logging.LogConfigurator;
import @PACKAGE@.common.settings.Settings;
import @PACKAGE@.env.Environment;

/**
 * Starts one node from jars on the class path: {@code LocalNode HOME key=value...}. One source serves OpenSearch and
 * Elasticsearch 7: @PACKAGE@ is the server's package, and ClasspathPlugins names the HTTP transport as each wants it.
 */
public final class LocalNode extends Node {
    private static final String NAME = "storewatch-local";

    // Raw types, as the parameter's type differs between versions.
    @SuppressWarnings({"unchecked", "rawtypes"})
    private LocalNode(Environment environment) {
        super(environment, (Collection) ClasspathPlugins.LIST, true);
    }

    public static void main(String[] arguments) throws Exception {
        LogConfigurator.registerErrorListener();
        Path home = Path.of(arguments[0]).toAbsolutePath();
        Settings.Builder settings = Settings.builder()
            .put("path.home", home.toString())
            .put("node.name", NAME)
            .put("cluster.name", NAME);
        for (int i = 1; i < arguments.length; i++) {
            String[] keyAndValue = arguments[i].split("=", 2);
            settings.put(keyAndValue[0], keyAndValue[1]);
        }
        LocalNode node = new LocalNode(
            InternalSettingsPreparer.prepareEnvironment(settings.build(), Map.of(), home.resolve("config"), () -> NAME)
        );
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (Exception e) {
                e.printStackTrace();
            }
        }, "stop"));
        node.start();
        // The node's threads are daemons: the process lives as long as this one.
        Thread.currentThread().join();
    }
}
