package org.elasticsearch.node;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;

import org.elasticsearch.cluster.service.ClusterService;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.plugins.ClasspathPluginsService;
import org.elasticsearch.plugins.PluginsLoader;
import org.elasticsearch.plugins.PluginsService;
import org.elasticsearch.transport.netty4.Netty4Plugin;

/**
 * Starts one Elasticsearch node from jars on the class path: {@code LocalNode HOME key=value...}
 *
 * <p>The distribution's own entry point unpacks plugins into folders, takes its key store from its parent process and
 * installs system call filters; none of that is there, or needed, for a node that only this machine talks to. It lives
 * in Elasticsearch's package because a node's construction is open to that package alone.
 */
public final class LocalNode extends Node {
    private static final String NAME = "storewatch-local";

    private LocalNode(Environment environment) {
        super(NodeConstruction.prepareConstruction(environment, null, new NodeServiceProvider() {
            @Override
            PluginsService newPluginService(Environment e, PluginsLoader folders) {
                return new ClasspathPluginsService(e.settings(), e, List.of(Netty4Plugin.class, RootPlugin.class));
            }
        }, true));
    }

    @Override
    protected void configureNodeAndClusterIdStateListener(ClusterService cluster) {
        // Puts the node's id into the distribution's log layouts, which are not used here.
    }

    public static void main(String[] arguments) throws Exception {
        LogConfigurator.configureESLogging();
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
