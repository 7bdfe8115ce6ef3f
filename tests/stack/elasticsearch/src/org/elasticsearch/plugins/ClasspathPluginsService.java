package org.elasticsearch.plugins;

import java.lang.reflect.Constructor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;

import org.elasticsearch.Build;
import org.elasticsearch.action.admin.cluster.node.info.PluginsAndModules;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.plugins.spi.SPIClassIterator;

/**
 * Serves plugins that are on the class path, where the real service loads each from an unpacked folder with a loader of
 * its own. In Elasticsearch's package because the parts of that service are open to it alone.
 */
public final class ClasspathPluginsService extends PluginsService {
    private final List<LoadedPlugin> loaded;

    public ClasspathPluginsService(Settings settings, Environment environment, List<Class<? extends Plugin>> classes) {
        super(settings, environment.configDir(), new PluginsLoader(Set.of(), Set.of(), Map.of()));
        List<LoadedPlugin> plugins = new ArrayList<>();
        for (Class<? extends Plugin> type : classes) {
            Plugin plugin = loadPlugin(type, settings, environment.configDir());
            plugins.add(new LoadedPlugin(descriptor(type.getName()), plugin, type.getClassLoader()));
        }
        loadExtensions(plugins);
        loaded = List.copyOf(plugins);
    }

    /** By reflection, as version 9 has added a parameter. What is not said here is false, none or the first. */
    private static PluginDescriptor descriptor(String name) {
        String java = Integer.toString(Runtime.version().feature());
        Iterator<String> texts = Arrays.asList(name, "on the class path", "NA", Build.current().version(), java, name, null)
            .iterator();
        Constructor<?> constructor = Arrays.stream(PluginDescriptor.class.getConstructors())
            .max(Comparator.comparingInt(Constructor::getParameterCount))
            .orElseThrow();
        Object[] values = Arrays.stream(constructor.getParameterTypes()).map(type -> {
            if (type == String.class) {
                return texts.next();
            } else if (type == List.class) {
                return List.of();
            } else if (type == boolean.class) {
                return false;
            }
            return type.getEnumConstants()[0];
        }).toArray();
        try {
            return (PluginDescriptor) constructor.newInstance(values);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException("PluginDescriptor is made otherwise in this version", e);
        }
    }

    /** One loader sees the providers of all plugins: each is made once, with the plugin its constructor asks for. */
    @Override
    public <T> List<? extends T> loadServiceProviders(Class<T> service) {
        List<T> providers = new ArrayList<>();
        Set<Class<?>> seen = new HashSet<>();
        for (LoadedPlugin plugin : loaded) {
            Iterator<Class<? extends T>> types = SPIClassIterator.get(service, plugin.instance().getClass().getClassLoader());
            while (types.hasNext()) {
                Class<? extends T> type = types.next();
                boolean fits = true;
                for (var constructor : type.getConstructors()) {
                    fits &= constructor.getParameterCount() != 1
                        || constructor.getParameterTypes()[0] == plugin.instance().getClass();
                }
                if (fits && seen.add(type)) {
                    providers.add(createExtension(type, service, plugin.instance()));
                }
            }
        }
        return List.copyOf(providers);
    }

    @Override
    protected List<LoadedPlugin> plugins() {
        return loaded;
    }

    @Override
    public PluginsAndModules info() {
        return new PluginsAndModules(loaded.stream().map(LoadedPlugin::descriptor).map(PluginRuntimeInfo::new).toList(), List.of());
    }
}
