package @PACKAGE@.node;

import java.util.List;

/** OpenSearch 1 and 2 and Elasticsearch 7 take the classes of the plugins. */
final class ClasspathPlugins {
    static final List<?> LIST = List.of(@PACKAGE@.transport.Netty4Plugin.class);
}
