package @PACKAGE@.node;

import java.util.List;

import org.opensearch.Version;
import org.opensearch.plugins.PluginInfo;

/** OpenSearch 3 takes descriptors of the plugins. */
final class ClasspathPlugins {
    static final List<?> LIST = List.of(new PluginInfo(
        "transport-netty4", "on the class path", "NA", Version.CURRENT, Integer.toString(Runtime.version().feature()),
        "org.opensearch.transport.Netty4ModulePlugin", null, List.of(), false
    ));
}
